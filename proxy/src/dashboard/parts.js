'use strict';
// What the dashboard is drawn with: figures, tables, charts, the map. All text goes in as text nodes, never as markup.

const POINTS_MAX = 300;
const LABELS_MAX = 40;
const SVG = 'http://www.w3.org/2000/svg';

const byId = id => document.getElementById(id);
const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};
const drawn = (tag, attributes, text) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
const isNumber = n => typeof n === 'number' && Number.isFinite(n);
const count = n => isNumber(n) ? n.toLocaleString('en') : '–';
const share = (part, whole) => whole ? (100 * part / whole).toFixed(1) + ' %' : '–';
const sum = counts => Object.values(counts || {}).reduce((total, n) => total + (isNumber(n) ? n : 0), 0);
const bytes = n => {
  if (!isNumber(n)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return (unit ? n.toFixed(1) : n) + ' ' + units[unit];
};

// A cell is a text, or a text and the name of its class.
function fill(id, head, rows) {
  const section = byId(id);
  section.hidden = rows.length === 0;
  const table = element('table');
  const cell = (tag, value) => Array.isArray(value) ? element(tag, value[0], value[1]) : element(tag, value);
  for (const [tag, row] of [['th', head], ...rows.map(row => ['td', row])]) {
    const line = element('tr');
    line.append(...row.map(value => cell(tag, value)));
    table.append(line);
  }
  section.querySelector('table').replaceWith(table);
}

function figure(value, name, kind) {
  const made = element('div', undefined, 'figure');
  made.append(element('b', value, kind), element('span', name));
  return made;
}

// Bars of counts, in their order; none for what never happened.
function bars(id, counts, label) {
  const most = Math.max(1, ...Object.values(counts));
  const whole = sum(counts);
  const line = ([name, n]) => {
    const bar = element('div', undefined, 'bar');
    bar.style.width = 100 * n / most + '%';
    return [element('span', label(name)), bar, element('span', share(n, whole), 'n')];
  };
  byId(id).replaceChildren(...Object.entries(counts).filter(([, n]) => n > 0).flatMap(line));
}

// A chart of the last POINTS_MAX moments; made anew when the colours change.
class Chart {
  constructor(id, series) {
    this.place = byId(id);
    this.series = series;
    this.data = [[], ...series.map(() => [])];
    this.draw();
    new ResizeObserver(() => this.chart.setSize(this.size())).observe(this.place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  size() {
    return { width: Math.max(120, this.place.clientWidth), height: 170 };
  }

  draw() {
    const colours = getComputedStyle(document.documentElement);
    const colour = name => colours.getPropertyValue(name).trim();
    const axis = { stroke: colour('--dim'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } };
    const line = ({ label, paint }) => ({
      label, stroke: colour(paint), width: 1.5, points: { show: false }, value: (_, n) => isNumber(n) ? n.toFixed(1) : '–',
    });
    this.chart?.destroy();
    this.chart = new uPlot({
      ...this.size(),
      series: [{ label: 'time', value: (_, at) => at ? new Date(at * 1000).toLocaleTimeString() : '–' }, ...this.series.map(line)],
      axes: [{ ...axis, size: 30 }, { ...axis, size: 46 }],
      scales: { y: { range: (_, least, most) => [0, Math.max(1, most * 1.1)] } },
      cursor: { drag: { x: false, y: false } },
    }, this.data, this.place);
  }

  add(at, values) {
    this.data[0].push(at);
    values.forEach((value, number) => this.data[number + 1].push(value));
    if (this.data[0].length > POINTS_MAX) this.data.forEach(column => column.shift());
    this.chart.setData(this.data);
  }
}

// Half a degree is one unit: equirectangular, as the land is drawn.
function drawMap(clusters, chosen) {
  const known = clusters.filter(({ at }) => Array.isArray(at) && at.length === 2 && at.every(isNumber));
  byId('map').toggleAttribute('hidden', known.length === 0);
  const place = cluster => {
    const [x, y] = [(cluster.at[1] + 180) * 2, (90 - cluster.at[0]) * 2];
    const kind = ['place', cluster.healthy ? '' : 'down', chosen.includes(cluster.id) ? 'chosen' : ''].join(' ');
    const dot = drawn('circle', { cx: x, cy: y, r: 6, class: kind });
    dot.append(drawn('title', {}, `${cluster.id}: ${cluster.healthy ? 'up' : 'down'}`));
    if (known.length > LABELS_MAX) return [dot];
    const ends = x > 600;
    return [dot, drawn('text', { x: ends ? x - 10 : x + 10, y: y + 4, 'text-anchor': ends ? 'end' : 'start' }, cluster.id)];
  };
  byId('places').replaceChildren(...known.flatMap(place));
}
