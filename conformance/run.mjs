// Runs the public HTTP cache test suite (npm http-cache-tests) against a built node and compares with the baseline.
//
//   node run.mjs BINARY            run, print the tally, fail when a test that passed in baseline.json fails
//   node run.mjs BINARY --bless    write baseline.json anew
//   node run.mjs BINARY ID         run one test and print its exchange
//
// The suite's own origin and client do the judging; this starts them and the node on free ports. A test that fails against the
// baseline is run once more by itself before it counts: the suite waits in whole seconds, and a busy machine may be late.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const suite = join(here, 'node_modules/http-cache-tests')
const baselineFile = join(here, 'baseline.json')
const [binary, option] = process.argv.slice(2)
// What the issue and docs/conformance.md promise, in percent.
const PROMISED = { required: 97, optimal: 90 }

const load = (path) => import(pathToFileURL(join(suite, path)))

async function freePort () {
  const server = createServer()
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

function start (command, args, options, isReady) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options })
  process.on('exit', () => child.kill())
  return new Promise((resolve, reject) => {
    let said = ''
    child.on('exit', code => reject(new Error(`${command} ended with ${code}: ${said}`)))
    child.stdout.on('data', data => {
      said += data
      const ready = isReady(said)
      if (ready) resolve(ready)
    })
  })
}

async function startOrigin () {
  const port = await freePort()
  const env = { ...process.env, npm_config_protocol: 'http', npm_config_port: port, npm_config_pidfile: join(mkdtempSync(join(tmpdir(), 'origin-')), 'pid') }
  const child = spawn('node', ['--no-warnings', 'server/server.mjs'], { cwd: suite, env, stdio: 'ignore' })
  process.on('exit', () => child.kill())
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false)) return port
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error('the suite\'s origin does not answer')
}

async function startNode () {
  const origin = await startOrigin()
  const config = join(mkdtempSync(join(tmpdir(), 'conformance-')), 'node.toml')
  writeFileSync(config, readFileSync(join(here, 'node.toml'), 'utf8').replace('@ORIGIN_PORT@', origin))
  const env = { ...process.env, RUST_LOG: 'off' }
  return start(binary, ['run', '-c', config], { env }, said => said.match(/ready .*http=([0-9.:]+)/)?.[1])
}

async function allTests () {
  const tests = [...(await load('tests/index.mjs')).default, (await load('tests/surrogate-control.mjs')).default]
  return tests.map(part => ({ ...part, tests: part.tests.filter(test => !test.browser_only) }))
}

// Tests by id that passed or not: Pass, or the suite's reason.
async function judge (address, ids) {
  const { runTests, getResults } = await load('client/runner.mjs')
  const fetch = createRequire(join(suite, 'package.json'))('node-fetch')
  const parts = (await allTests()).map(part => ({ ...part, tests: part.tests.filter(test => !ids || ids.includes(test.id)) }))
  if (ids?.length === 1) parts.forEach(part => part.tests.forEach(test => { test.dump = option === test.id }))
  await runTests(parts, fetch, false, `http://${address}`)
  return getResults()
}

// A child, since the suite keeps its results in one place and takes each test once.
async function again (address, ids) {
  const child = spawn('node', ['--no-warnings', fileURLToPath(import.meta.url), binary, '--again', address, ids.join(',')], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', data => { said += data })
  await new Promise(resolve => child.on('exit', resolve))
  return JSON.parse(said)
}

function tally (tests, results) {
  const sums = {}
  for (const part of tests) {
    for (const test of part.tests) {
      const sum = sums[test.kind ?? 'required'] ??= { passed: 0, all: 0, failed: [] }
      sum.all++
      if (results[test.id] === true) sum.passed++
      else sum.failed.push(`${test.id}: ${test.name} (${results[test.id]?.join?.(': ') ?? 'not run'})`)
    }
  }
  return sums
}

async function main () {
  if (option === '--again') {
    process.stdout.write(JSON.stringify(await judge(process.argv[4], process.argv[5].split(','))))
    process.exit(0)
  }
  const address = await startNode()
  if (option && option !== '--bless') {
    console.log(await judge(address, [option]))
    process.exit(0)
  }
  const tests = await allTests()
  const results = await judge(address)
  const passes = () => Object.keys(results).filter(id => results[id] === true).sort()
  const baseline = option === '--bless' ? [] : JSON.parse(readFileSync(baselineFile, 'utf8'))
  let lost = baseline.filter(id => results[id] !== true)
  if (lost.length > 0) {
    Object.assign(results, await again(address, lost))
    lost = baseline.filter(id => results[id] !== true)
  }
  const sums = tally(tests, results)
  let kept = true
  for (const [kind, { passed, all, failed }] of Object.entries(sums)) {
    const percent = 100 * passed / all
    console.log(`${kind}: ${passed} of ${all} passed, ${percent.toFixed(1)} %`)
    if (kind in PROMISED) failed.forEach(line => console.log(`  failed ${line}`))
    if (percent < (PROMISED[kind] ?? 0)) {
      console.log(`  fewer than the ${PROMISED[kind]} % promised`)
      kept = false
    }
  }
  if (option === '--bless') writeFileSync(baselineFile, JSON.stringify(passes(), null, 1) + '\n')
  lost.forEach(id => console.log(`regression: ${id} passed in baseline.json and fails now: ${results[id]?.join?.(': ')}`))
  process.exit(kept && lost.length === 0 ? 0 : 1)
}

main().catch(error => {
  console.error(`conformance: ${error.message}`)
  process.exit(2)
})
