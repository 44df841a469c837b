// Keeps the page up to date: asks for what has changed, and changes only that, so that what is open stays open and
// the focus stays where it is. Without it the page reloads itself.
"use strict";

const EVERY = 3000;
let tag = null;
let ahead = 0;
let lost = null;

function view() { return document.getElementById("view"); }

function same(a, b) {
    return a.nodeType === b.nodeType && a.nodeName === b.nodeName &&
        (a.nodeType !== Node.ELEMENT_NODE || (a.id === b.id && a.dataset.key === b.dataset.key));
}

function patch(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
        if (old.data !== fresh.data) old.data = fresh.data;
        return;
    }
    for (const { name } of [...old.attributes]) {
        if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    let at = old.firstChild;
    for (const next of fresh.childNodes) {
        if (at && !same(at, next) && next.dataset && next.dataset.key) {
            const moved = [...old.children].find(child => same(child, next));
            if (moved) at = old.insertBefore(moved, at);
        }
        if (at && same(at, next)) {
            patch(at, next);
            at = at.nextSibling;
        } else {
            old.insertBefore(document.importNode(next, true), at);
        }
    }
    while (at) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
    }
}

function relative(seconds) {
    let rest = Math.abs(seconds);
    if (rest === 0) return "now";
    const parts = [];
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
        const many = Math.floor(rest / size);
        rest -= many * size;
        if (many > 0 && parts.length < 2) parts.push(many + unit);
    }
    return seconds > 0 ? "in " + parts.join(" ") : parts.join(" ") + " ago";
}

function count() {
    const now = Math.floor(Date.now() / 1000) + ahead;
    for (const element of document.querySelectorAll(".ago")) {
        const text = relative(Number(element.dataset.at) - now);
        if (element.textContent !== text) element.textContent = text;
    }
}

function told() {
    const now = Number(view().dataset.now);
    if (now > 0) ahead = now - Math.floor(Date.now() / 1000);
    document.title = view().dataset.title;
    count();
}

function say(text) {
    const element = document.getElementById("lost");
    element.textContent = text;
    element.hidden = text === "";
}

async function ask() {
    try {
        const reply = await fetch("/part", { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
        if (reply.status === 200) {
            const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("view");
            tag = reply.headers.get("ETag");
            patch(view(), fresh);
            told();
        } else if (reply.status !== 304) {
            throw new Error("status " + reply.status);
        }
        lost = null;
        say("");
    } catch (error) {
        lost = lost || new Date();
        say("This page has not reached its server since " + lost.toLocaleTimeString() + ". What it shows is older.");
    }
}

async function go() {
    // A page that nobody sees asks nothing.
    if (!document.hidden) await ask();
    setTimeout(go, EVERY);
}

told();
setInterval(count, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
go();
