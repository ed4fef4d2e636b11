// The dashboard of a real node under real traffic, as a person sees it: wide and narrow, light and dark.

import assert from 'node:assert/strict';
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Node, ZONE, startOrigin } from './cdn.mjs';

const PATIENCE_MS = 60_000;
const PLACES = { ams: [52.4, 4.9], nyc: [40.7, -74.0], syd: [-33.9, 151.2], sao: [-23.5, -46.6], nrt: [35.8, 140.4] };
const VIEWS = [
  { name: 'desktop-light', width: 1280, height: 900, colorScheme: 'light' },
  { name: 'desktop-dark', width: 1280, height: 900, colorScheme: 'dark' },
  { name: 'phone-light', width: 360, height: 740, colorScheme: 'light' },
  { name: 'phone-dark', width: 360, height: 740, colorScheme: 'dark' },
];
const MARKUP = '<img src=x onerror="document.title=\'taken\'"><script>document.title="taken"</script>';

const exists = path => access(path).then(() => true, () => false);

async function startNode(binary, origin) {
  const plugin = process.env.LITTORAL_PLUGINS && join(process.env.LITTORAL_PLUGINS, 'rate-throughput.wasm');
  const plugged = plugin && await exists(plugin);
  const cluster = ([id, at]) => `[[cluster]]\nid = "${id}"\ntier = "home"\nat = [${at.map(n => n.toFixed(1))}]\ncapacity = "1Gbps"\n` +
    'nodes = [{ v4 = "127.0.0.1" }]\n' + (id === 'ams' ? 'prefixes = ["192.0.2.0/24"]\n' : '');
  return Node.start(binary, 'dashboard', `
[node]
name = "ams-a"
cluster = "ams"
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
${plugged ? `[[plugin]]\nname = "rate-throughput"\nfile = ${JSON.stringify(plugin)}\n[policy]\nrate = "rate-throughput"` : ''}
[[zone]]
name = "cdn.test."
file = "cdn.zone"
[[service]]
name = "video.cdn.test."
clusters = ["*"]
ttl = "20s"
${Object.entries(PLACES).map(cluster).join('')}
[[site]]
hosts = ["127.0.0.1"]
origin = ["http://127.0.0.1:${origin.address().port}"]
dash = { auto = true }
`, { 'cdn.zone': ZONE });
}

// Players that ask for segments of the auto ladder, one after the other, until they are stopped.
function traffic(node) {
  const state = { stopped: false };
  const one = async number => {
    for (let i = 0; !state.stopped; i += 1) {
      const kbps = 100 + (i * 37 + number * 211) % 900;
      const cmcd = encodeURIComponent(`bl=9000,mtp=${kbps},sid="p${number}"`);
      const answer = await fetch(`http://127.0.0.1:${node.port('http')}/title/seg-auto-${String(1 + i % 16).padStart(5, '0')}.m4s?CMCD=${cmcd}`);
      await answer.arrayBuffer();
    }
  };
  const done = Promise.all([0, 1].map(one));
  return () => { state.stopped = true; return done; };
}

async function look(browser, node, view, shots) {
  const context = await browser.newContext({ viewport: view, colorScheme: view.colorScheme, deviceScaleFactor: 1 });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [];
  page.on('console', said => { if (said.type() === 'error' || said.type() === 'warning') problems.push(said.text()); });
  page.on('pageerror', error => problems.push(error.message));
  page.on('request', request => { if (new URL(request.url()).host !== node.addresses.admin && !request.url().startsWith('data:')) problems.push(`asks ${request.url()}`); });
  await page.goto(`http://${node.addresses.admin}/`);
  await page.waitForFunction(() => document.getElementById('link').textContent === 'live');
  const figures = await page.textContent('#figures');
  await page.waitForFunction(before => document.getElementById('figures').textContent !== before, figures);
  await page.waitForFunction(() => requestsChart.data[0].length >= 5 && requestsChart.data[1].some(rate => rate > 0));
  await page.waitForFunction(places => document.querySelectorAll('#places circle').length === places, Object.keys(PLACES).length);
  await page.waitForSelector('#rates .bar');
  await page.waitForSelector('#warm td');
  await page.fill('#client', '192.0.2.7');
  await page.fill('#service', 'video.cdn.test');
  await page.click('#ask button');
  await page.waitForSelector('.place.chosen');
  assert.match(await page.textContent('#told'), /192\.0\.2\.7.* goes to ams.*: coverage/);
  const [wide, room, beyond] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const scrolls = element => element.parentElement.closest('.wide, pre');
    const end = element => element.getBoundingClientRect().left + Math.max(element.getBoundingClientRect().width, element.scrollWidth);
    const beyond = [...document.body.querySelectorAll('*')].filter(element => !scrolls(element) && end(element) > clientWidth);
    return [scrollWidth, clientWidth, beyond.map(element => `${element.tagName} ${element.id} ${element.className}: ${element.textContent.slice(0, 40)}`)];
  });
  assert.ok(wide <= room, `${view.name}: ${wide} px wide in ${room}: ${beyond.slice(0, 8).join('; ')}`);
  const colour = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  if (shots) await page.screenshot({ path: join(shots, `${view.name}.png`), fullPage: true });
  assert.deepEqual(problems, [], view.name);
  await context.close();
  return colour;
}

// All texts of others are markup here; none of it may become any.
async function isNotTaken(browser, node) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const events = {
    stats: { node: MARKUP, cluster: MARKUP, requests: { [MARKUP]: 3 }, video: { rate_chosen: { [MARKUP]: 1 } } },
    plugins: [{ name: MARKUP, state: MARKUP, interfaces: [MARKUP], last_fault: MARKUP, faults: { [MARKUP]: 1 } }],
    clusters: [{ id: MARKUP, at: [0, 0], tier: MARKUP, healthy: false }],
    warm: [{ id: 1, url: `javascript:${MARKUP}`, state: MARKUP, error: MARKUP }],
  };
  const body = Object.entries(events).map(([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`).join('');
  await page.route('**/v1/events', route => route.fulfill({ contentType: 'text/event-stream', body }));
  await page.route('**/v1/explain?*', route => route.fulfill({ status: 404, json: { error: MARKUP } }));
  await page.goto(`http://${node.addresses.admin}/`);
  await page.waitForSelector('#warm td');
  await page.fill('#client', '::1');
  await page.fill('#service', MARKUP);
  await page.click('#ask button');
  await page.waitForFunction(markup => document.getElementById('told').textContent === markup, MARKUP);
  assert.equal(await page.title(), 'littoral');
  assert.equal(await page.locator('img, main script, section script, header script').count(), 0);
  assert.ok((await page.textContent('#plugins')).includes(MARKUP));
  // And were it any, the page's policy would not let it run.
  const refused = page.waitForEvent('console', { predicate: said => said.text().includes('Content Security Policy') });
  await page.evaluate(() => { const made = document.createElement('script'); made.textContent = 'document.title = "taken"'; document.body.append(made); });
  await refused;
  assert.equal(await page.title(), 'littoral');
  await page.close();
}

export async function looks(binary, title, launch, shots) {
  if (shots) await mkdir(shots, { recursive: true });
  const origin = await startOrigin(title, {});
  const node = await startNode(binary, origin);
  const stop = traffic(node);
  const browser = await launch();
  try {
    const order = { url: `http://127.0.0.1:${node.port('http')}/title/manifest.mpd` };
    const ordered = await fetch(`http://${node.addresses.admin}/v1/warm`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) });
    assert.equal(ordered.status, 200, await ordered.text());
    const colours = [];
    for (const view of VIEWS) colours.push(await look(browser, node, view, shots));
    assert.ok(colours[0] === colours[2] && colours[1] === colours[3] && colours[0] !== colours[1], `${colours}`);
    await isNotTaken(browser, node);
    return `${VIEWS.map(({ name }) => name).join(', ')}, and hostile names`;
  } catch (error) {
    error.message += `\nthe node said: ${node.log.slice(-2000)}`;
    throw error;
  } finally {
    await stop().catch(() => {});
    await browser.close();
    await node.end();
    origin.closeAllConnections();
    origin.close();
  }
}
