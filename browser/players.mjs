// Real players play a title to its end, through clusters of which one is killed.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { HOSTS, endCdn, startCdn } from './cdn.mjs';

const PATIENCE_MS = 180_000;
// Seconds of the title played before a cluster is killed.
const KILL_AT = 6;
// How long a player may take to notice, ms: beyond, a stall is not the kill's.
const KILL_MS = 10_000;
const HEIGHTS = [144, 240, 360];
const page = name => fileURLToPath(new URL(`pages/${name}`, import.meta.url));
const PLAYERS = {
  dashjs: fileURLToPath(new URL('node_modules/dashjs/dist/modern/umd/dash.all.min.js', import.meta.url)),
  shaka: fileURLToPath(new URL('node_modules/shaka-player/dist/shaka-player.compiled.js', import.meta.url)),
};

export async function plays(player, binary, title, launch) {
  const files = { '/player.html': page('player.html'), '/play.js': page('play.js'), '/player.js': PLAYERS[player] };
  const cdn = await startCdn(binary, title, files, '{ auto = true }');
  const browser = await launch([`--host-resolver-rules=${cdn.resolve}`]);
  let seen;
  try {
    const tab = await browser.newPage();
    const manifest = `http://${HOSTS.director}/title/auto.mpd`;
    await tab.goto(`http://${HOSTS.origin}/player.html?player=${player}&manifest=${encodeURIComponent(manifest)}`);
    const until = condition => tab.waitForFunction(condition, KILL_AT, { timeout: PATIENCE_MS });
    const told = async () => { seen = await tab.evaluate('seen'); };
    try {
      await until(at => seen.errors.length || document.getElementById('video').currentTime > at);
      await told();
      assert.deepEqual(new Set(seen.from), new Set(['one']), 'the director sends everybody to the first cluster');
      await cdn.nodes.one.kill();
      const killed = Date.now();
      await until(() => seen.errors.length || seen.ended);
      await told();
      judge(seen, killed);
    } catch (error) {
      await told().catch(() => {});
      throw error;
    }
    const metrics = await cdn.nodes.two.admin('/metrics');
    const decided = [...metrics.matchAll(/^littoral_rate_decisions_total\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
    assert.ok(decided > 0, 'the second cluster chose representations');
    return `${seen.asked.length} objects, heights ${seen.heights.join(' → ')}, then from ${seen.from.at(-1)}; ${seen.stalls.length} stalls`;
  } catch (error) {
    error.message += `\n${player} saw ${JSON.stringify({ ...seen, asked: seen?.asked?.slice(-30) })}`;
    for (const [id, node] of Object.entries(cdn.nodes)) error.message += `\n${id} said: ${node.log.slice(-2000)}`;
    throw error;
  } finally {
    await browser.close();
    await endCdn(cdn);
  }
}

function judge(seen, killed) {
  assert.deepEqual(seen.errors, [], 'no error, of decoding or otherwise');
  assert.ok(seen.lost.every(told => told.includes(`//${HOSTS.one}/`)), `only the cluster that was killed does not answer: ${seen.lost}`);
  const others = seen.stalls.filter(({ wall }) => wall < killed || wall > killed + KILL_MS);
  assert.deepEqual(others, [], 'no stall but that of the kill');
  assert.equal(seen.from.at(-1), 'two', 'the rest came from the cluster that lives');
  const auto = seen.asked.filter(({ path }) => path.includes('-auto-'));
  assert.ok(auto.length >= 16, `all segments by the auto ladder: ${auto.length}`);
  assert.ok(auto.every(({ cmcd }) => cmcd.includes('sid=')), 'each with CMCD');
  assert.ok(seen.heights.every(height => HEIGHTS.includes(height)) && Math.max(...seen.heights) > HEIGHTS[0], `the edge went up: heights ${seen.heights}`);
}
