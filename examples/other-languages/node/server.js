#!/usr/bin/env node
// A small HTTP server that hands over without losing a request. Node 18.2, no packages; `systemd-notify`, a
// program of Debian's package systemd, because Node has no datagrams on unix sockets.
//
//     fetchd run --listen web=:8080 --target-check off -- ./server.js
'use strict';

const { spawnSync } = require('node:child_process');
const http = require('node:http');
const net = require('node:net');

const VERSION = '1.0.0';

// fetchd asks a release for its version before it installs it.
if (process.argv.includes('--version')) {
  console.log(`server.js ${VERSION}`);
  process.exit(0);
}

// Connections that have not sent anything yet are served for so long after the drain has begun.
const LAME_DUCK_MS = 2000;
// Listening on an inherited socket sets the length of its queue anew; Node's own choice is 511.
const BACKLOG = 4096;

let draining = false;

const server = http.createServer((request, response) => {
  const answer = () => {
    const body = JSON.stringify({ version: VERSION, pid: process.pid });
    // Tells the client, and Node, that this was the last one.
    if (draining) response.setHeader('Connection', 'close');
    response.setHeader('Content-Type', 'application/json');
    response.setHeader('Content-Length', Buffer.byteLength(body));
    response.end(body);
  };
  if (request.url.startsWith('/slow')) setTimeout(answer, 2000);
  else answer();
});

function notify(message) {
  if (!process.env.NOTIFY_SOCKET) return;
  const sent = spawnSync('systemd-notify', [message], { stdio: 'inherit' });
  if (sent.error || sent.status !== 0) {
    console.error(`cannot send ${message}: ${sent.error || `exit code ${sent.status}`}`);
    process.exit(1);
  }
}

process.on('SIGTERM', () => {
  if (draining) return;
  draining = true;
  // Accepts no more, and leaves the queue to the new process, which has this socket, too. Not
  // http.Server's own close(): that one closes idle connections at once, whatever is on its way to them.
  net.Server.prototype.close.call(server, () => process.exit(0));
  setTimeout(() => {
    server.closeIdleConnections();
    // One that was answered without `Connection: close` just before the drain may still become idle.
    setInterval(() => server.closeIdleConnections(), 100);
  }, LAME_DUCK_MS);
});

// Longer than the drain: a connection is closed by the drain alone, not by chance during it.
server.keepAliveTimeout = 60_000;

// The first socket of systemd's protocol, which fetchd speaks, too.
if (process.env.LISTEN_PID !== String(process.pid) || !(Number(process.env.LISTEN_FDS) >= 1)) {
  console.error('no socket was passed: start this with `fetchd run --listen web=:8080 -- ./server.js`');
  process.exit(64);
}
server.listen({ fd: 3 }, BACKLOG, () => notify('READY=1'));
