'use strict';
// The dashboard: hears /v1/events, shows what they tell, and asks the API itself where there are none.

const ASK_EVERY_MS = 5000;
const LISTS = { plugins: showPlugins, clusters: showClusters, warm: showWarm };
const requestsChart = new Chart('requests-chart', [{ label: 'all', paint: '--sea' }, { label: 'hits', paint: '--good' }]);
const bytesChart = new Chart('bytes-chart', [{ label: 'Mbit/s', paint: '--second' }]);
let last = null;
let clusters = [];
let chosen = [];

function showStats(stats) {
  const now = Date.now() / 1000;
  const outcomes = stats.requests || {};
  const [requests, hits, sent] = [sum(outcomes), outcomes.hit || 0, stats.sent_bytes || 0];
  // A node that started anew counts from 0.
  const before = last && last.requests <= requests && last.sent <= sent && now > last.at ? last : null;
  const each = (what, value) => before ? (value - before[what]) / (now - before.at) : 0;
  const rates = [each('requests', requests), each('hits', hits)];
  if (before) {
    requestsChart.add(now, rates);
    bytesChart.add(now, [each('sent', sent) * 8 / 1e6]);
  }
  last = { requests, hits, sent, at: now };
  const cache = stats.cache || {};
  byId('node').textContent = [stats.node, stats.cluster, 'up ' + count(stats.uptime_s) + ' s'].filter(Boolean).join(' · ');
  byId('figures').replaceChildren(
    figure(count(Math.round(rates[0])), 'requests / s'),
    figure(share(hits, requests), 'hit ratio'),
    figure(rates[0] > 0 ? share(rates[1], rates[0]) : '–', 'hit ratio now'),
    figure(bytes(stats.sent_bytes), 'sent'),
    figure(bytes(cache.bytes), 'cached of ' + bytes(cache.bound_bytes)),
    figure(count(cache.objects), 'objects'),
    figure(count(stats.connections_open), 'connections'),
    figure(isNumber(stats.load_permille) ? (stats.load_permille / 10).toFixed(1) + ' %' : '–', 'load'),
    figure(count(stats.failures), 'failures', stats.failures ? 'bad' : ''));
  const rows = Object.entries(outcomes).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  fill('outcomes', ['outcome', ['requests', 'n'], ['share', 'n']],
    rows.map(([label, n]) => [label, [count(n), 'n'], [share(n, requests), 'n']]));
  showVideo(stats.video || {});
}

// Players are heard where a site reads CMCD; what is not counted on this node is not shown.
function showVideo(video) {
  const rates = video.rate_chosen || {};
  const told = Object.keys(video).some(name => name.startsWith('cmcd_'));
  byId('video').hidden = !told && sum(rates) === 0;
  const figures = [];
  const show = (name, label, isBad) => {
    if (!video[name]) return;
    const total = sum(video[name]);
    figures.push(figure(count(total), label, isBad && total ? 'bad' : ''));
  };
  show('rate_decisions', 'auto URLs decided');
  if (video.rate_switches) figures.push(figure(`${count(video.rate_switches.up)} ↑ ${count(video.rate_switches.down)} ↓`, 'switches'));
  show('cmcd_stalls', 'stalls told by players', true);
  show('cmcd_urgent', 'objects needed urgently', true);
  show('cmcd_told', 'times players told something');
  show('cmcd_refused', 'not understood', true);
  byId('video-figures').replaceChildren(...figures);
  bars('rates', rates, kbps => kbps === 'more' ? 'faster' : `≤ ${count(Number(kbps))} kbit/s`);
}

function showPlugins(plugins) {
  const state = plugin => [plugin.state, plugin.state === 'running' ? 'good' : 'bad'];
  fill('plugins', ['plugin', 'state', 'decides', ['generation', 'n'], ['calls', 'n'], ['mean', 'n'], ['fuel / call', 'n'], ['faults', 'n'], ['memory', 'n'], 'last fault'],
    plugins.map(plugin => {
      const faults = sum(plugin.faults);
      return [plugin.name, state(plugin), (plugin.interfaces || []).join(', '), [count(plugin.generation), 'n'], [count(plugin.calls), 'n'],
        [plugin.mean_ns ? count(plugin.mean_ns) + ' ns' : '–', 'n'], [plugin.calls ? count(Math.round(plugin.fuel / plugin.calls)) : '–', 'n'],
        [count(faults), faults ? 'n bad' : 'n'], [bytes(plugin.memory_bytes), 'n'], [plugin.last_fault || '', 'long']];
    }));
}

function showClusters(told) {
  clusters = told;
  const health = cluster => cluster.healthy ? ['up', 'good'] : ['down', 'bad'];
  const room = cluster => [cluster.draining && 'draining', cluster.full && 'full'].filter(Boolean).join(', ');
  fill('clusters', ['cluster', 'health', '', 'tier', ['nodes', 'n'], ['load', 'n']],
    clusters.map(cluster => [cluster.id, health(cluster), room(cluster), cluster.tier || '–', [count((cluster.nodes || []).length), 'n'],
      [isNumber(cluster.load_permille) ? (cluster.load_permille / 10).toFixed(1) + ' %' : '–', 'n']]));
  byId('explain').hidden = clusters.length === 0;
  drawMap(clusters, chosen);
}

function showWarm(jobs) {
  const kind = job => ({ failed: 'bad', done: 'good' })[job.state];
  const state = job => job.state + (job.dry_run ? ' (dry run)' : job.waits_for ? `, waits for the ${job.waits_for}` : '');
  const minutes = s => isNumber(s) ? (s < 60 ? count(s) + ' s' : count(Math.round(s / 60)) + ' min') : '–';
  fill('warm', [['job', 'n'], 'title', 'state', ['objects', 'n'], ['bytes', 'n'], ['left', 'n'], ['hits', 'n'], ['failed', 'n'], 'error'],
    jobs.slice(-20).reverse().map(job => [[count(job.id), 'n'], [job.url || job.standing || 'a list', 'long'], [state(job), kind(job)],
      [`${count(job.done)} of ${count(job.total)}`, 'n'], [bytes(job.bytes), 'n'], [minutes(job.eta_s), 'n'], [count(job.hits), 'n'],
      [count(job.failed_count), job.failed_count ? 'n bad' : 'n'], [job.error || '', 'long']]));
}

async function explain() {
  const [told, whole] = [byId('told'), byId('whole')];
  const question = new URLSearchParams({ client: byId('client').value.trim(), name: byId('service').value.trim() });
  const answer = await fetch('/v1/explain?' + question, { cache: 'no-store' });
  const said = await answer.json();
  chosen = answer.ok ? said.clusters : [];
  whole.hidden = !answer.ok;
  told.className = answer.ok ? '' : 'bad';
  if (!answer.ok) {
    told.textContent = said.error;
    byId('explain').querySelector('table').replaceChildren();
  } else {
    const to = said.clusters.length ? said.clusters.join(', then ') : 'nowhere';
    const from = said.country ? ` (${said.country})` : '';
    told.textContent = `${said.client}${from} goes to ${to}: ${said.reason}, decided by ${said.policy || 'nobody'}, ` +
      `for ${said.scope}, ${count(said.ttl_s)} s.`;
    const km = n => isNumber(n) ? count(n) + ' km' : '–';
    const rows = said.candidates.map(one => [one.cluster, one.rank ? count(one.rank) : '–', [km(one.distance_km), 'n'],
      [one.rtt_us ? (one.rtt_us / 1000).toFixed(1) + ' ms' : '–', 'n'], [(one.load_permille / 10).toFixed(1) + ' %', 'n'], one.in_zone ? 'in its zone' : '']);
    rows.push(...said.filtered.map(one => [one.cluster, '–', ['–', 'n'], ['–', 'n'], ['–', 'n'], one.why]));
    fill('explain', ['cluster', 'rank', ['distance', 'n'], ['round trip', 'n'], ['load', 'n'], ''], rows);
    byId('explain').hidden = false;
    whole.querySelector('pre').textContent = JSON.stringify(said, null, 2);
  }
  drawMap(clusters, chosen);
}

async function ask(path) {
  const answer = await fetch(path, { cache: 'no-store' });
  if (!answer.ok) throw new Error(path + ' answered ' + answer.status);
  return answer.json();
}

// Where a node has none of something, its list is not there.
const askList = name => ask('/v1/' + name).then(LISTS[name], () => {});

// Without a stream: all of them taken, or a proxy between that keeps it back.
async function askInstead() {
  try {
    showStats(await ask('/v1/stats'));
    await Promise.all(Object.keys(LISTS).map(askList));
    byId('link').textContent = 'asking every 5 s';
  } catch (error) {
    byId('link').textContent = 'no answer: ' + error.message;
  }
  setTimeout(askInstead, ASK_EVERY_MS);
}

function listen() {
  const events = new EventSource('/v1/events');
  const heard = new Set();
  events.addEventListener('stats', event => {
    byId('link').textContent = 'live';
    showStats(JSON.parse(event.data));
  });
  for (const [name, show] of Object.entries(LISTS)) {
    events.addEventListener(name, event => { heard.add(name); show(JSON.parse(event.data)); });
  }
  // A list that is too long for an event is asked for.
  setInterval(() => {
    if (events.readyState === EventSource.OPEN) Object.keys(LISTS).filter(name => !heard.has(name)).forEach(askList);
    heard.clear();
  }, ASK_EVERY_MS);
  events.onerror = () => {
    byId('link').textContent = 'no answer';
    if (events.readyState === EventSource.CLOSED) askInstead();
  };
}

byId('ask').addEventListener('submit', event => {
  event.preventDefault();
  explain().catch(error => { byId('told').textContent = 'no answer: ' + error.message; });
});
listen();
