// Real players and the dashboard in headless Chromium, against real nodes.
//   node run.mjs BINARY TITLE [--only dashjs,shaka,dashboard] [--shots DIRECTORY]
// TITLE is a directory that assets/make-asset.sh has made. Exits with 1 when something is not as it should be.

import { parseArgs } from 'node:util';
import { resolve } from 'node:path';
import { chromium } from 'playwright-core';
import { looks } from './dashboard.mjs';
import { plays } from './players.mjs';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'string' }, shots: { type: 'string' } } });
const [binary, title] = positionals.map(path => resolve(path));
if (!title) throw new Error('usage: node run.mjs BINARY TITLE [--only dashjs,shaka,dashboard] [--shots DIRECTORY]');

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
// Root has no sandbox of its own in containers; everything it opens is ours.
const base = ['--autoplay-policy=no-user-gesture-required', '--no-proxy-server', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
const launch = (more = []) => chromium.launch({ executablePath, args: [...base, ...more], timeout: 120_000 });
const checks = {
  dashjs: () => plays('dashjs', binary, title, launch),
  shaka: () => plays('shaka', binary, title, launch),
  dashboard: () => looks(binary, title, launch, values.shots && resolve(values.shots)),
};

let failed = 0;
for (const name of values.only?.split(',') ?? Object.keys(checks)) {
  const started = performance.now();
  try {
    const said = await checks[name]();
    console.log(`ok      ${name}, ${((performance.now() - started) / 1000).toFixed(1)} s: ${said}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}: ${error.message}\n${error.stack.split("\n").filter(line => /^ +at /.test(line)).join("\n")}`);
  }
}
process.exit(failed ? 1 : 0);
