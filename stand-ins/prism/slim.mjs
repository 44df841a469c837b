// Cuts GitHub's OpenAPI description (13 MB) down to the releases of a repository, for Prism:
// slim.mjs FULL.json SLIM.json. What is kept is as it was, but that the media type GitHub asks
// clients to name in `Accept` stands beside the one its description names.
import { readFileSync, writeFileSync } from "node:fs";

const [from, to] = process.argv.slice(2);
const full = JSON.parse(readFileSync(from, "utf8"));
const kept = (path) => path.startsWith("/repos/{owner}/{repo}/releases");
const paths = Object.fromEntries(Object.entries(full.paths).filter(([path]) => kept(path)));
const { openapi, info, servers } = full;
const slim = { openapi, info, servers, paths, components: {} };

// Every component that something kept refers to, directly or through another component.
const seen = new Set();
const waiting = [paths];
while (waiting.length > 0) {
  const value = waiting.pop();
  if (value === null || typeof value !== "object") continue;
  const ref = value.$ref;
  if (typeof ref === "string" && !seen.has(ref)) {
    seen.add(ref);
    const [group, name] = ref.replace("#/components/", "").split("/");
    const component = full.components[group][name];
    (slim.components[group] ??= {})[name] = component;
    waiting.push(component);
  }
  waiting.push(...Object.values(value));
  const json = value.content?.["application/json"];
  if (json) value.content["application/vnd.github+json"] ??= json;
}
if (Object.keys(paths).length === 0) throw new Error(`${from} describes no releases`);
writeFileSync(to, JSON.stringify(slim));
