// A small CDN of real nodes: an origin, two clusters of one edge each, and a director that steers players between them.

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript', mjs: 'text/javascript', mpd: 'application/dash+xml', m4s: 'video/iso.segment' };
const PIECE_BYTES = 20_000;
const PIECE_MS = 20;
export const ZONE = '$ORIGIN cdn.test.\n$TTL 60\n@ IN SOA ns h 1 1 1 1 30\n@ IN NS ns\nns IN A 127.0.0.1\n';
// The names pages use; the browser is told where each of them is.
export const HOSTS = { one: 'one.test', two: 'two.test', director: 'steer.test', origin: 'pages.test' };

// The manifest that players get: the edge chooses the video's representation, two clusters have all of it, the director says which.
function autoManifest(mpd) {
  const oneVideo = mpd.replace(/\t\t\t<Representation id="[01]"[^]*?<\/Representation>\n/g, '').replace('<Representation id="2"', '<Representation id="auto"')
    // Each segment brings its own parameter sets: they differ between the representations.
    .replace('avc1.', 'avc3.');
  const steered = ['one', 'two'].map(id => `\t<BaseURL serviceLocation="${id}">http://${HOSTS[id]}/title/</BaseURL>\n`).join('') +
    `\t<ContentSteering defaultServiceLocation="one" queryBeforeStart="true">http://${HOSTS.director}/steering</ContentSteering>\n`;
  return oneVideo.replace('\t<Period', steered + '\t<Period');
}

// Sends a body at some 8 Mbit/s: an edge only measures what takes time.
async function sendSlowly(response, body) {
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    response.write(body.subarray(at, at + PIECE_BYTES));
    await new Promise(done => setTimeout(done, PIECE_MS));
  }
  response.end();
}

// Serves the title, and the pages with their players.
export async function startOrigin(title, files) {
  const auto = autoManifest(await readFile(join(title, 'manifest.mpd'), 'utf8'));
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://origin').pathname;
    const name = basename(path);
    const type = TYPES[name.split('.').pop()] ?? 'application/octet-stream';
    try {
      const body = path === '/title/auto.mpd' ? auto : await readFile(path.startsWith('/title/') ? join(title, name) : files[path]);
      response.writeHead(200, { 'content-type': type, 'cache-control': 'max-age=600', 'access-control-allow-origin': '*', 'content-length': body.length });
      if (type === TYPES.m4s) await sendSlowly(response, body);
      else response.end(body);
    } catch {
      response.writeHead(404, { 'access-control-allow-origin': '*' }).end();
    }
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  return server;
}

export class Node {
  static async start(binary, name, config, files = {}) {
    const node = new Node();
    node.home = await mkdtemp(join(tmpdir(), `littoral-${name}-`));
    for (const [file, text] of Object.entries({ 'node.toml': config, ...files })) await writeFile(join(node.home, file), text);
    node.log = '';
    node.child = spawn(binary, ['run', '-c', join(node.home, 'node.toml')], { stdio: ['ignore', 'pipe', 'pipe'] });
    node.ended = new Promise(done => node.child.once('exit', done));
    node.child.stderr.on('data', text => { node.log = (node.log + text).slice(-20_000); });
    const ready = new Promise(done => createInterface(node.child.stdout).once('line', done));
    const line = await Promise.race([ready, node.ended]);
    if (!String(line).startsWith('ready ')) throw new Error(`${name} is not ready: ${line}\n${node.log}`);
    node.addresses = Object.fromEntries(line.split(' ').slice(1).map(part => part.split('=')));
    return node;
  }

  port(name) {
    return Number(this.addresses[name].split(',')[0].split(':').pop());
  }

  async admin(path) {
    const answer = await fetch(`http://${this.addresses.admin}${path}`);
    return path === '/metrics' ? answer.text() : answer.json();
  }

  // As a power cut does.
  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async end() {
    await this.kill();
    await rm(this.home, { recursive: true, force: true });
  }
}

const edge = (id, origin, more) => `
[node]
name = "${id}-a"
cluster = "${id}"
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[[site]]
hosts = ["${HOSTS[id]}"]
origin = ["http://127.0.0.1:${origin}"]
${more}
`;

const director = (edges, origin) => `
[node]
name = "director"
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[[zone]]
name = "cdn.test."
file = "cdn.zone"
[[service]]
name = "video.cdn.test."
clusters = ["*"]
ttl = "1s"
[[site]]
hosts = ["${HOSTS.director}"]
origin = ["http://127.0.0.1:${origin}"]
steer = { service = "video.cdn.test", path = "/steering" }
${edges.map(({ id, port, at, prefixes }) => `[[cluster]]
id = ${JSON.stringify(id)}
tier = "home"
at = [${at}]
capacity = "1Gbps"
nodes = [{ v4 = "127.0.0.1" }]
prefixes = ${JSON.stringify(prefixes)}
health = { port = ${port}, every = "200ms", timeout = "2s", down_after = 2, up_after = 1 }
`).join('')}`;

// Starts all of it. `dash`: the `dash` table of the edges' site.
export async function startCdn(binary, title, files, dash) {
  const origin = await startOrigin(title, files);
  const cdn = { origin, nodes: {} };
  try {
    const port = origin.address().port;
    for (const id of ['one', 'two']) cdn.nodes[id] = await Node.start(binary, id, edge(id, port, `dash = ${dash}`));
    const places = { one: { at: '52.4, 4.9', prefixes: ['127.0.0.0/8'] }, two: { at: '-33.9, 151.2', prefixes: ['192.0.2.0/24'] } };
    const edges = Object.entries(places).map(([id, place]) => ({ id, port: cdn.nodes[id].port('http'), ...place }));
    cdn.nodes.director = await Node.start(binary, 'director', director(edges, port), { 'cdn.zone': ZONE });
    const at = Object.entries(cdn.nodes).map(([id, node]) => `MAP ${HOSTS[id]}:80 127.0.0.1:${node.port('http')}`);
    cdn.resolve = [...at, `MAP ${HOSTS.origin}:80 127.0.0.1:${port}`].join(', ');
  } catch (error) {
    await endCdn(cdn);
    throw error;
  }
  return cdn;
}

export async function endCdn(cdn) {
  await Promise.all(Object.values(cdn.nodes).map(node => node.end()));
  cdn.origin.closeAllConnections();
  await new Promise(done => cdn.origin.close(done));
}
