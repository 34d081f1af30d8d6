// SPDX-License-Identifier: Apache-2.0
// The emulator's page. GET /v1/events tells the whole state once and then what changes; everything
// that the page does is a request to the same API that programs use. No text of the emulator is
// ever read as HTML.
'use strict';

const $ = (id) => document.getElementById(id);
const history_length = 600; // ticks, which come twice a second
const rows_shown = 50;
const objects_listed = 100; // at once
const colours = 8;

// What the emulator has told.
const told = { statistics: {}, latency: {}, map: { blocks: 0, cells: [] }, leases: {}, waiters: {}, buckets: [], faults: [] };
const series = []; // {rates, percentiles, hits} a tick
let before = null; // counters at the tick before
let token = sessionStorage.getItem('token') || '';

// --- Building blocks -----------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const { dataset, attributes, ...plain } = properties;
  const element = Object.assign(document.createElement(tag), plain);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function text(id, value) {
  const element = $(id);
  if (element.textContent !== value) element.textContent = value;
}

function number(value, digits = 0) {
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

function compact(value) {
  return value < 10000 ? number(value, value > 0 && value < 10 && value % 1 ? 1 : 0)
                       : value.toLocaleString('en', { notation: 'compact', maximumFractionDigits: 1 });
}

function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; ++unit; }
  return `${number(value, value < 10 && unit > 0 && value % 1 ? 1 : 0)} ${units[unit]}`;
}

function duration(us) {
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${number(us / 1000, us < 1e4 ? 1 : 0)} ms`;
  if (us < 120e6) return `${number(us / 1e6, 1)} s`;
  if (us < 7200e6) return `${Math.floor(us / 60e6)} min ${Math.floor(us / 1e6) % 60} s`;
  return `${number(us / 3600e6, 1)} h`;
}

function percent(part, whole) {
  return whole > 0 ? `${number(100 * part / whole, part === whole ? 0 : 1)} %` : '–';
}


// Canvas takes no light-dark(): a hidden element resolves the colour.
const probe = make('span', { hidden: true });
const resolved = new Map();
function colour_of(name) {
  if (!resolved.has(name)) {
    probe.style.color = `var(--${name})`;
    resolved.set(name, getComputedStyle(probe).color);
  }
  return resolved.get(name);
}

function sized(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  if (height) canvas.style.height = `${height}px`;
  height = height || canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// --- Requests to the emulator --------------------------------------------------------------------

function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

function complain(message) {
  $('notice').hidden = !message;
  $('notice').textContent = message;
}

async function ask(method, path, body, refused = complain) {
  const options = { method, headers: headers(), cache: 'no-store' };
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  try {
    const response = await fetch(path, options);
    const answer = response.status === 204 ? null : await response.json();
    if (!response.ok) throw new Error(answer.message);
    if (method !== 'GET') complain('');
    return answer;
  } catch (error) {
    refused(error instanceof TypeError ? 'the emulator does not respond' : error.message);
    return undefined;
  }
}

async function ask_for_token() {
  const dialog = $('token');
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener('close', done, { once: true }));
  token = $('token-text').value.trim();
  sessionStorage.setItem('token', token);
}

// --- The stream of events ------------------------------------------------------------------------

function pill(kind, label) {
  $('state').className = `pill ${kind}`;
  text('state', label);
}

// Not EventSource, which sends no token.
async function read_events(signal) {
  const response = await fetch('v1/events', { headers: headers(), signal, cache: 'no-store' });
  if (response.status === 401) {
    await ask_for_token();
    return;
  }
  if (!response.ok) throw new Error((await response.json()).message);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      const data = event.split('\n').find((line) => line.startsWith('data: '));
      if (data) take(JSON.parse(data.slice(6)), event.startsWith('event: state'));
    }
  }
}

// A page that nobody sees leaves its connection to others: browsers open six to one host.
async function follow() {
  let pause = 500;
  for (;;) {
    if (document.hidden) await new Promise((seen) => document.addEventListener('visibilitychange', seen, { once: true }));
    if (document.hidden) continue;
    const until_hidden = new AbortController();
    const hide = () => document.hidden && until_hidden.abort();
    document.addEventListener('visibilitychange', hide);
    const begun = performance.now();
    try {
      await read_events(until_hidden.signal);
    } catch (error) {
      if (!(error instanceof TypeError) && error.name !== 'AbortError') complain(error.message);
    }
    document.removeEventListener('visibilitychange', hide);
    if (until_hidden.signal.aborted) continue;
    pill('bad', 'not connected');
    pause = performance.now() - begun > 5000 ? 500 : Math.min(pause * 2, 5000);
    await new Promise((done) => setTimeout(done, pause));
  }
}

function take(event, whole) {
  if (whole) {
    before = null;
    told.map = { blocks: event.map.blocks, cells: Array.from({ length: event.map.count }, () => [0, 0, 0, 0, 0, 0]) };
    told.requests = [];
  }
  for (const [index, ...cell] of event.map?.cells || []) {
    told.map.cells[index] = cell;
    if (!whole && cell[4] > 0) flash(index);
  }
  Object.assign(told.statistics, event.statistics);
  Object.assign(told.latency, event.latency);
  if (event.requests) told.requests = [...event.requests.slice().reverse(), ...told.requests].slice(0, rows_shown);
  for (const name of ['info', 'clock', 'readiness', 'segment', 'buckets', 'leases', 'waiters', 'namespaces', 'faults', 'bounds_us', 'uptime_ms', 'now_us']) {
    if (event[name] !== undefined) told[name] = event[name];
  }
  told.heard = performance.now();
  measure();
  show(event, whole);
  if (whole && scenarios.length === 0) load_scenarios();
}

// --- Figures over time ---------------------------------------------------------------------------

const of_checkpoints = ['checkpoint_put', 'checkpoint_get', 'checkpoint_delete', 'namespace'];
const operations = ['put', 'lease', 'release', ...of_checkpoints, 'other', 'unreadable'];

// The bound under which `share` of the durations lie, in microseconds.
function percentile(counts, share) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let below = 0;
  for (let i = 0; i < counts.length; ++i) {
    if (below + counts[i] >= share * all) {
      const low = i === 0 ? 0 : told.bounds_us[i - 1];
      const high = told.bounds_us[Math.min(i, told.bounds_us.length - 1)];
      return low + (high - low) * (share * all - below) / counts[i];
    }
    below += counts[i];
  }
  return told.bounds_us.at(-1);
}

function measure() {
  const now = { at: told.uptime_ms, latency: structuredClone(told.latency), ...told.statistics };
  if (before && now.at > before.at) {
    const since = (name) => Math.max(0, now[name] - before[name]);
    const seconds = (now.at - before.at) / 1000;
    const rates = {};
    const counts = told.bounds_us.map(() => 0).concat(0);
    for (const operation of operations) {
      const is = now.latency[operation] || [];
      const was = before.latency[operation] || [];
      let sum = 0;
      is.forEach((count, i) => {
        const more = Math.max(0, count - (was[i] || 0));
        sum += more;
        counts[i] += more;
      });
      rates[operation] = sum / seconds;
    }
    rates.checkpoint = of_checkpoints.reduce((sum, operation) => sum + rates[operation], 0);
    const hits = since('leases_granted');
    const asked = hits + since('lease_misses');
    series.push({
      rates,
      all: operations.reduce((sum, operation) => sum + rates[operation], 0),
      p50: percentile(counts, 0.5), p90: percentile(counts, 0.9), p99: percentile(counts, 0.99),
      hits: asked > 0 ? hits / asked : null,
    });
    if (series.length > history_length) series.shift();
  }
  before = now;
}

function last_value(name) {
  for (let i = series.length - 1; i >= Math.max(0, series.length - 20); --i) {
    if (series[i][name] !== null) return series[i][name];
  }
  return null;
}

const plots = [
  { canvas: 'plot-rate', key: 'key-rate', stacked: true, unit: (value) => compact(value),
    lines: [['put', 1], ['lease', 3], ['release', 5], ['checkpoint', 4], ['other', 2]].map(([name, colour]) => ({ name, colour, of: (tick) => tick.rates[name] })) },
  { canvas: 'plot-latency', key: 'key-latency', logarithmic: true, unit: (value) => (value < 1 ? String(Number(value.toPrecision(2))) : compact(value)),
    lines: [['p50', 7], ['p90', 1], ['p99', 4]].map(([name, colour]) => ({ name, colour, of: (tick) => tick[name] === null ? null : tick[name] / 1000 })) },
  { canvas: 'plot-hits', key: 'key-hits', top: 1, unit: (value) => `${number(100 * value)} %`,
    lines: [{ name: 'hits of leases asked for', colour: 3, of: (tick) => tick.hits }] },
];

function draw_plot(plot) {
  const canvas = $(plot.canvas);
  const { pen, width, height } = sized(canvas);
  const left = 44, bottom = 16, right = 4, top = 6;
  const shown = series.slice(-history_length);
  const values = (tick) => plot.lines.map((line) => line.of(tick));
  let high = plot.top || 0;
  let low = Infinity;
  for (const tick of shown) {
    const all = values(tick).filter((value) => value !== null);
    const peak = plot.stacked ? all.reduce((sum, value) => sum + value, 0) : Math.max(0, ...all);
    high = Math.max(high, peak);
    for (const value of all) if (value > 0) low = Math.min(low, value);
  }
  if (!plot.top) high = plot.logarithmic ? 10 ** Math.ceil(Math.log10(Math.max(high, 0.1))) : nice(high);
  low = plot.logarithmic ? 10 ** Math.floor(Math.log10(Math.min(low, high / 10))) : 0;
  const y = (value) => {
    const share = plot.logarithmic ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : value / high;
    return height - bottom - share * (height - bottom - top);
  };
  const span = Math.max(120, shown.length); // ticks: a minute at least
  const x = (i) => left + (width - left - right) * (span - shown.length + i) / (span - 1);

  pen.font = '11px system-ui, sans-serif';
  pen.fillStyle = colour_of('quiet');
  pen.strokeStyle = colour_of('line');
  pen.lineWidth = 1;
  const marks = plot.logarithmic ? [high, Math.sqrt(high * low), low] : [high, high / 2, 0];
  pen.textAlign = 'right';
  pen.textBaseline = 'middle';
  for (const mark of marks) {
    pen.beginPath();
    pen.moveTo(left, Math.round(y(mark)) + 0.5);
    pen.lineTo(width - right, Math.round(y(mark)) + 0.5);
    pen.stroke();
    pen.fillText(plot.unit(mark), left - 6, y(mark));
  }
  pen.textBaseline = 'bottom';
  pen.textAlign = 'left';
  pen.fillText(span > 240 ? `${number(span / 120, 1)} min ago` : `${Math.round(span / 2)} s ago`, left, height);
  pen.textAlign = 'right';
  pen.fillText('now', width - right, height);

  const floor = shown.map(() => 0);
  for (const line of plot.lines) {
    const points = shown.map((tick, i) => {
      const value = line.of(tick);
      if (value === null) return null;
      if (!plot.stacked) return value;
      return floor[i] + value;
    });
    pen.strokeStyle = pen.fillStyle = colour_of(`c${line.colour}`);
    pen.lineWidth = 1.6;
    if (plot.stacked && shown.length > 1) {
      pen.globalAlpha = 0.35;
      pen.beginPath();
      points.forEach((value, i) => (i === 0 ? pen.moveTo(x(i), y(value)) : pen.lineTo(x(i), y(value))));
      for (let i = shown.length - 1; i >= 0; --i) pen.lineTo(x(i), y(floor[i]));
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.beginPath();
    let gap = true;
    points.forEach((value, i) => {
      if (value === null) { gap = true; return; }
      gap ? pen.moveTo(x(i), y(value)) : pen.lineTo(x(i), y(value));
      if (gap) pen.lineTo(x(i) + 0.5, y(value));
      gap = false;
    });
    pen.stroke();
    if (plot.stacked) points.forEach((value, i) => { floor[i] = value; });
  }
  const now = shown.at(-1);
  const figures = plot.lines.map((line) => {
    const value = now ? line.of(now) : null;
    return `${line.name} ${value === null ? '–' : plot.unit(value)}`;
  });
  canvas.setAttribute('aria-label', `${canvas.previousElementSibling.textContent}: ${figures.join(', ')}`);
  const key = $(plot.key);
  figures.forEach((figure, i) => {
    if (!key.children[i]) key.append(make('li', {}, make('span', { className: `swatch sw-${plot.lines[i].colour}` }), make('span')));
    key.children[i].lastChild.textContent = figure;
  });
}

function nice(value) {
  if (value <= 0) return 10;
  const scale = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * scale >= value) * scale;
}

// --- The map -------------------------------------------------------------------------------------

const flashes = new Map(); // cell -> when an eviction was seen
const flash_time = 1600;
let cursor = -1;
let grid = { columns: 1, side: 1 };

function flash(index) {
  flashes.set(index, performance.now());
}

// Blocks of a cell: [first, behind its last).
function blocks_of(index) {
  const { blocks, cells } = told.map;
  return [Math.ceil(index * blocks / cells.length), Math.ceil((index + 1) * blocks / cells.length)];
}

function draw_map() {
  const canvas = $('map');
  const count = told.map.cells.length;
  const wide = canvas.clientWidth;
  if (count === 0 || wide === 0) return;
  const side = Math.max(4, Math.min(30, Math.floor(Math.sqrt(wide * 190 / count))));
  const columns = Math.max(1, Math.floor(wide / side));
  grid = { columns, side };
  const { pen } = sized(canvas, Math.ceil(count / columns) * side);
  const gap = side > 8 ? 2 : 1;
  const now = performance.now();
  for (let i = 0; i < count; ++i) {
    const [objects, pinned, put, colour, , checkpoint] = told.map.cells[i];
    const [first, end] = blocks_of(i);
    const size = Math.max(1, end - first);
    const x = (i % columns) * side;
    const y = Math.floor(i / columns) * side;
    const edge = side - gap;
    pen.fillStyle = colour_of('free');
    pen.fillRect(x, y, edge, edge);
    const filled = Math.min(1, objects / size) * edge;
    if (objects > 0) {
      pen.fillStyle = colour_of(`c${colour || colours}`);
      pen.fillRect(x, y + edge - Math.max(1, filled), edge, Math.max(1, filled));
    }
    let top = edge - filled;
    for (const [blocks, name] of [[checkpoint, 'checkpoint'], [put, 'put']]) {
      if (blocks === 0) continue;
      const more = Math.max(1, Math.min(1, blocks / size) * edge);
      top = Math.max(0, top - more);
      pen.fillStyle = colour_of(name);
      pen.fillRect(x, y + top, edge, more);
    }
    if (pinned > 0) {
      pen.fillStyle = colour_of('pin');
      const bar = Math.max(1, Math.round(edge / 4));
      pen.fillRect(x, y + edge - bar, Math.max(1, Math.min(1, pinned / size) * edge), bar);
    }
    const since = now - (flashes.get(i) ?? -flash_time);
    if (since < flash_time) {
      pen.globalAlpha = 1 - since / flash_time;
      pen.strokeStyle = colour_of('gone');
      pen.lineWidth = 2;
      pen.strokeRect(x + 1, y + 1, edge - 2, edge - 2);
      pen.globalAlpha = 1;
    } else {
      flashes.delete(i);
    }
    if (i === cursor) {
      pen.strokeStyle = colour_of('text');
      pen.lineWidth = 2;
      pen.strokeRect(x, y, edge, edge);
    }
  }
}

function describe_cell() {
  if (cursor < 0 || !told.map.cells[cursor]) return text('map-cell', '\u00a0');
  const [objects, pinned, put, colour, , checkpoint] = told.map.cells[cursor];
  const [first, end] = blocks_of(cursor);
  const parts = [end - first > 1 ? `blocks ${number(first)} to ${number(end - 1)}` : `block ${number(first)}`];
  if (objects) parts.push(`${number(objects)} held by objects, most of bucket ${name_of_colour(colour)}`);
  if (pinned) parts.push(`${number(pinned)} pinned by leases`);
  if (put) parts.push(`${number(put)} being written`);
  if (checkpoint) parts.push(`${number(checkpoint)} held by checkpoints`);
  const free = end - first - objects - put - checkpoint;
  if (free > 0) parts.push(`${number(free)} free`);
  return text('map-cell', parts.join(' · '));
}

function name_of_colour(colour) {
  const bucket = told.buckets.find((each) => each.colour === colour);
  return bucket && colour !== colours ? bucket.name : '(several)';
}

function show_legend() {
  const items = told.buckets.map(({ name, colour }) => [`sw-${colour}`, colour === colours ? 'other buckets' : name]);
  if (told.map.cells.some((cell) => cell[5] > 0)) items.push(['sw-checkpoint', 'checkpoint']);
  items.push(['sw-pin', 'pinned by a lease'], ['sw-put', 'being written'], ['sw-gone', 'just evicted'], ['sw-free', 'free']);
  $('legend').replaceChildren(...items.map(([swatch, label]) =>
    make('li', {}, make('span', { className: `swatch ${swatch}` }), make('span', { textContent: label }))));
}

function move_cursor(to) {
  cursor = Math.max(0, Math.min(told.map.cells.length - 1, to));
  describe_cell();
  draw_map();
}

async function list_cell() {
  if (cursor < 0) return;
  const [first, end] = blocks_of(cursor);
  const list = make('ul', { className: 'bars', attributes: { 'aria-label': 'Objects of the cell' } });
  if (!await list_objects(list, first, end)) return;
  $('cell-objects').hidden = false;
  $('cell-objects').replaceChildren(list.children.length ? list : make('p', { className: 'none', textContent: 'No object begins in this cell.' }));
}

// A page of the objects that begin in these blocks; a cell of a large segment has thousands.
async function list_objects(list, first, end) {
  const answer = await ask('GET', `v1/objects?first_block=${first}&end_block=${end}&limit=${objects_listed}`);
  if (!answer) return false;
  list.append(...answer.objects.map((object) => make('li', {},
    make('span', { className: 'name key', textContent: `${object.bucket}/${object.key}`, title: object.key }),
    make('span', { className: 'left', textContent: `${bytes(object.bytes)}${object.pins ? `, ${object.pins} pins` : ''}` }))));
  if (answer.objects.length < objects_listed) return true;
  const next = Math.floor(answer.objects.at(-1).fragments[0].offset / told.info.block_size) + 1;
  const more = make('li', {}, make('button', { type: 'button', textContent: 'Show more',
    onclick: async () => { if (await list_objects(list, next, end)) more.remove(); } }));
  list.append(more);
  return true;
}

// --- Leases and waiters --------------------------------------------------------------------------

// Time goes on between two events where the clock runs by itself.
function elapsed_ms() {
  return told.clock?.kind === 'manual' ? 0 : performance.now() - told.heard;
}

const longest = new Map(); // the most time left that was seen of each, for its bar

function show_bars(list, items, label) {
  const elapsed = elapsed_ms();
  const seen = new Set();
  items.forEach((item, i) => {
    const id = `${list.id} ${item.id ?? ''} ${item.bucket} ${item.key} ${item.id ? '' : i}`;
    seen.add(id);
    const left = Math.max(0, item.time_left_ms - elapsed);
    longest.set(id, Math.max(longest.get(id) || 0, item.time_left_ms));
    let row = list.children[i];
    if (!row || !row.lastChild || row.className === 'none') {
      row = make('li', {}, make('span', { className: 'fill' }), make('span', { className: 'name key' }), make('span', { className: 'left' }));
      list.children[i] ? list.children[i].replaceWith(row) : list.append(row);
    }
    const [fill, name, rest] = row.children;
    const path = `${item.bucket}/${item.key}`;
    if (name.textContent !== path) { name.textContent = path; row.title = item.id ? `${path}\nlease ${item.id}` : path; }
    rest.textContent = duration(left * 1000);
    fill.style.width = `${100 * left / Math.max(1, longest.get(id))}%`;
    row.className = left < 2000 ? 'soon' : '';
  });
  while (list.children.length > Math.max(1, items.length)) list.lastChild.remove();
  if (items.length === 0) {
    if (list.firstChild?.className !== 'none') list.replaceChildren(make('li', { className: 'none', textContent: label }));
  }
  for (const id of longest.keys()) if (id.startsWith(`${list.id} `) && !seen.has(id)) longest.delete(id);
}

function show_times() {
  const { leases, waiters } = told;
  show_bars($('leases'), leases.first || [], 'No lease is live.');
  show_bars($('waiters'), waiters.first || [], 'No request waits for its key.');
  const more = (all, first) => (all > first.length ? `${number(all)} in all, ${first.length} shown` : '');
  text('leases-about', more(leases.all || 0, leases.first || []));
  text('waiters-about', more(waiters.all || 0, waiters.first || []));
  if (told.clock) {
    text('clock-kind', told.clock.kind === 'real' ? '' : `${told.clock.kind} clock`);
    text('clock-now', told.clock.kind === 'real' ? '' : duration(told.now_us + elapsed_ms() * 1000));
  }
}

// --- Checkpoints ---------------------------------------------------------------------------------

function show_checkpoints() {
  const { all, first } = told.namespaces;
  $('checkpoints').hidden = all === 0;
  text('checkpoints-about', all > first.length ? `${number(all)} namespaces, ${first.length} shown` : '');
  const steps = ({ all, first }) => (all > first.length ? `${first.join(', ')} and ${number(all - first.length)} older` : first.join(', ') || 'none');
  $('namespaces').tBodies[0].replaceChildren(...first.map((each) => make('tr', {},
    make('td', { className: 'key', textContent: each.name }),
    make('td', { className: 'number', textContent: number(each.num_ranks) }),
    make('td', { className: 'number', textContent: number(each.steps_retained) }),
    make('td', { className: 'number', textContent: bytes(each.bytes) }),
    make('td', { textContent: steps(each.complete) }),
    make('td', { textContent: steps(each.incomplete) }))));
}

// --- Requests ------------------------------------------------------------------------------------

let paused = false;
let filtered = null; // rows found by the filters

function class_of(entry) {
  if (entry.operation === 'lease' && (entry.status === 504 || entry.status === 404)) return 'miss';
  return `s${Math.floor(entry.status / 100)}`;
}

function clock_time(entry) {
  return entry.time ? new Date(entry.time).toLocaleTimeString('en-GB', { hour12: false }) + `.${entry.time.slice(20, 23)}` : '';
}

function row_of(entry) {
  const path = entry.key || entry.bucket ? `${entry.bucket}/${entry.key}` : entry.lease_id;
  const row = make('tr', { tabIndex: 0, dataset: { sequence: entry.sequence } },
    make('td', { textContent: clock_time(entry) }),
    make('td', { textContent: entry.operation }),
    make('td', { className: class_of(entry), textContent: entry.status || 'none' }),
    make('td', { className: 'path key', textContent: path }),
    make('td', { className: 'number', textContent: entry.held_us ? duration(entry.held_us) : '' }),
    make('td', { className: 'number', textContent: duration(entry.served_us) }),
    make('td', { textContent: entry.fault }));
  row.entry = entry;
  return row;
}

// Rows stay as they are while somebody reads them.
function show_requests() {
  const body = $('requests').tBodies[0];
  const read = body.contains(document.activeElement) || body.matches(':hover');
  if (paused || (read && !filtered)) return;
  const wanted = filtered || told.requests || [];
  const kept = new Map([...body.rows].map((row) => [Number(row.dataset.sequence), row]));
  if (wanted.length === body.rows.length && wanted.every((entry, i) => Number(body.rows[i].dataset.sequence) === entry.sequence)) return;
  body.replaceChildren(...wanted.map((entry) => kept.get(entry.sequence) || row_of(entry)));
  text('requests-about', `${number(told.statistics.requests || 0)} so far${filtered ? ', filtered' : ''}`);
}

async function filter_requests() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData($('filters'))) if (value.trim()) wanted.set(name, value.trim());
  if ([...wanted].length === 0) {
    filtered = null;
  } else {
    wanted.set('last', rows_shown);
    const answer = await ask('GET', `v1/journal?${wanted}`);
    filtered = answer ? answer.entries.reverse() : [];
  }
  show_requests();
}

function line_of(entry) {
  const part = encodeURIComponent;
  if (entry.operation === 'put') return `PUT /v1/kv/${part(entry.bucket)}/${part(entry.key)}`;
  if (entry.operation === 'lease') return `POST /v1/kv/${part(entry.bucket)}/${part(entry.key)}/leases`;
  if (entry.operation === 'release') return `POST /v1/leases/${part(entry.lease_id)}/release`;
  const shard = `/v1/cp/checkpoints/${part(entry.bucket)}/${entry.key}`;
  if (entry.operation === 'checkpoint_put') return `POST ${shard}`;
  if (entry.operation === 'checkpoint_delete') return `DELETE ${shard}`;
  if (entry.operation === 'checkpoint_get') return `GET ${entry.key ? shard : `/v1/cp/checkpoints/${part(entry.bucket)}/latest`}`;
  return entry.operation;
}

const ends = { kept: 'kept open', closed_by_us: 'closed by the emulator', closed_by_peer: 'closed by the client', reset_by_fault: 'reset by a fault' };

const put_refusals = { 409: 'the key is stored already', 413: 'it is larger than the cache', 507: 'there is no room for it' };

function outcome(entry) {
  if (entry.status === 0) return 'no response was sent';
  if (class_of(entry) === 'miss') return `${entry.status}: a miss`;
  const refusal = entry.operation === 'put' && !entry.fault && put_refusals[entry.status];
  return refusal ? `${entry.status}: ${refusal}` : String(entry.status);
}

// Why a lease was not granted, as far as the journal knows; a fault stands among the facts.
async function show_reason(entry) {
  if (class_of(entry) !== 'miss' || entry.fault) return;
  const wanted = new URLSearchParams({ operation: 'put', status: 200, bucket: entry.bucket, key: entry.key, last: 100 });
  const puts = await ask('GET', `v1/journal?${wanted}`, undefined, () => {});
  if (!puts || $('detail').dataset.sequence !== String(entry.sequence)) return; // another one has been opened
  const stored = puts.entries.filter((put) => put.sequence < entry.sequence).pop();
  const reason = stored ? `stored at ${clock_time(stored)}, and gone by then: evicted, or ended by a reset or restart`
    : 'never stored, as far as the journal goes back';
  $('detail-list').append(make('dt', { textContent: 'Reason' }), make('dd', { textContent: reason }));
}

function open_detail(entry) {
  text('detail-title', `Request ${number(entry.sequence)}`);
  const facts = [
    ['Request', line_of(entry)], ['Outcome', outcome(entry)], ['Bucket', entry.bucket], ['Key', entry.key],
    ['Lease', entry.lease_id], ['Fault', entry.fault], ['Time', entry.time], ['Emulator time', duration(entry.at_us)],
    ['Held', entry.held_us ? duration(entry.held_us) : 'not held'], ['Served in', duration(entry.served_us)],
    ['Body received', bytes(entry.bytes_in)], ['Response sent', bytes(entry.bytes_out)],
    ['Connection', `${entry.connection}, ${entry.peer}, ${ends[entry.end]}`], ['Under way at once', String(entry.in_flight)],
  ];
  $('detail-list').replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) =>
    [make('dt', { textContent: name }), make('dd', { textContent: value })]));
  $('detail').dataset.sequence = entry.sequence;
  $('detail-heads').replaceChildren();
  $('detail').showModal();
  show_heads(entry.sequence);
  show_reason(entry);
}

async function show_heads(sequence) {
  let why = 'not kept any more';
  const entry = await ask('GET', `v1/journal/${sequence}`, undefined, (message) => { why = message; });
  if ($('detail').dataset.sequence !== String(sequence)) return; // another one has been opened
  const response = entry?.request_head && !entry.status ? 'none was sent' : why;
  $('detail-heads').replaceChildren(...[['Request head', entry?.request_head, why], ['Response head', entry?.response_head, response]].flatMap(
    ([title, head, otherwise]) => [make('h3', { textContent: title }),
      head ? make('pre', { textContent: head, tabIndex: 0, attributes: { 'aria-label': title } }) : make('p', { className: 'none', textContent: otherwise })]));
}

// --- Faults and scenarios ------------------------------------------------------------------------

// Faults that were switched off here, to be switched on again.
const off = new Map(JSON.parse(sessionStorage.getItem('off') || '[]'));
let scenarios = [];

function without_counts({ counts, ...fault }) {
  return fault;
}

function in_words(value) {
  if (Array.isArray(value)) return value.map(in_words).join(' | ');
  if (value === null || typeof value !== 'object') return String(value);
  return Object.entries(value).map(([name, each]) => (each === true ? name : `${name} ${in_words(each)}`)).join(', ');
}

function toggle(name, checked, what, count, change) {
  return make('li', {},
    make('button', { type: 'button', dataset: { name }, onclick: change, attributes: { role: 'switch', 'aria-checked': checked, 'aria-label': name } }),
    make('span', { className: 'name', textContent: name }),
    make('span', { className: 'count', textContent: count }),
    make('span', { className: 'what', textContent: what }));
}

// Shows `items` in a list of switches. While they are the same ones, each stays the element that it is: one that is
// replaced under a finger is not pressed. Otherwise the focus stays on the switch that had it.
function refill(list, items) {
  const name_of = (row) => row.querySelector('button')?.dataset.name;
  const rows = [...list.children];
  if (rows.length === items.length && rows.every((row, i) => name_of(row) !== undefined && name_of(row) === name_of(items[i]))) {
    rows.forEach((row, i) => {
      const [button, ...words] = row.children;
      const [fresh, ...fresh_words] = items[i].children;
      button.onclick = fresh.onclick;
      button.setAttribute('aria-checked', fresh.getAttribute('aria-checked'));
      words.forEach((word, k) => { if (word.textContent !== fresh_words[k].textContent) word.textContent = fresh_words[k].textContent; });
    });
    return;
  }
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.name : undefined;
  list.replaceChildren(...items);
  if (focused !== undefined) [...list.querySelectorAll('button')].find((button) => button.dataset.name === focused)?.focus();
}

async function set_fault(fault, on) {
  const answer = on ? await ask('POST', 'v1/faults', fault) : await ask('DELETE', `v1/faults/${encodeURIComponent(fault.name)}`);
  if (!answer) return;
  told.faults = answer.faults;
  if (!on) off.set(fault.name, fault);
  sessionStorage.setItem('off', JSON.stringify([...off]));
  show_faults();
}

function show_faults() {
  const on = told.faults;
  for (const fault of on) off.delete(fault.name);
  const in_scenario = new Set(scenarios.flatMap((scenario) => scenario.faults.map((fault) => fault.name)));
  const rest = [...off.values()].filter((fault) => !in_scenario.has(fault.name));
  const words = (fault) => `${fault.match ? `${in_words(fault.match)} → ` : ''}${in_words(fault.effects || fault.script)}`;
  const rows = [
    ...on.map((fault) => toggle(fault.name, true, words(fault), `fired ${number(fault.counts.fired)} of ${number(fault.counts.matched)}`,
      () => set_fault(without_counts(fault), false))),
    ...rest.map((fault) => toggle(fault.name, false, words(fault), 'off', () => set_fault(fault, true))),
  ];
  refill($('faults'), rows.length ? rows : [make('li', { className: 'none', textContent: 'No fault is in force: every request is served as it should be.' })]);
  text('faults-about', on.length ? `${on.length} in force` : '');
  show_scenarios();
}

async function load_scenarios() {
  const answer = await ask('GET', 'v1/scenarios');
  scenarios = answer?.scenarios || [];
  show_faults();
}

async function set_scenario(scenario, on) {
  if (on) {
    await ask('POST', 'v1/faults', scenario.faults);
  } else {
    for (const { name } of scenario.faults) {
      if (told.faults.some((fault) => fault.name === name)) await ask('DELETE', `v1/faults/${encodeURIComponent(name)}`);
    }
  }
}

function show_scenarios() {
  refill($('scenarios'), scenarios.map((scenario) => {
    const names = new Set(scenario.faults.map((fault) => fault.name));
    const active = told.faults.filter((fault) => names.has(fault.name));
    const on = active.length === names.size;
    const fired = active.reduce((sum, fault) => sum + fault.counts.fired, 0);
    return toggle(scenario.name, on, scenario.description, active.length ? `fired ${number(fired)}` : '', () => set_scenario(scenario, !on));
  }));
}

const presets = [
  ['slow leases', { name: 'slow', match: { operation: 'lease' }, effects: { delay: '250ms' } }],
  ['every third PUT refused', { name: 'busy', match: { operation: 'put', every: 3 }, effects: { status: 503, retry_after: '1s' } }],
  ['one lease in ten misses', { name: 'misses', match: { operation: 'lease', probability: 0.1 }, effects: { status: 404 } }],
  ['leases expire early', { name: 'early', match: { operation: 'lease' }, effects: { real_ttl: '100ms' } }],
  ['connections reset', { name: 'resets', match: { every: 10 }, effects: { reset: true } }],
  ['no response at all', { name: 'silent', match: { operation: 'release', first: 5 }, effects: { never_answer: true } }],
];

// --- Control -------------------------------------------------------------------------------------

const incidents = {
  restart: ['Restart the daemon?', 'Every object, lease and waiter is lost, every connection is cut, and the segment is made anew under the same name.', 'Restart'],
  unlink_segment: ['Unlink the segment?', 'The name goes away and nobody can map the segment any more, while the daemon serves on. /readyz fails from then on.', 'Unlink'],
  recreate_segment: ['Make a new segment?', 'Another segment takes the name. Clients that have mapped the old one read stale bytes until they notice.', 'Make a new one'],
};

async function sure([title, consequence, verb]) {
  const dialog = $('sure');
  text('sure-title', title);
  text('sure-text', consequence);
  text('sure-go', verb);
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener('close', done, { once: true }));
  return dialog.returnValue === 'go';
}

async function act(button) {
  const { incident, reset } = button.dataset;
  if (incident !== undefined) {
    if (await sure(incidents[incident])) await ask('POST', 'v1/segment', { incident });
    return;
  }
  const what = reset ? reset.split(',').join(' and ') : 'objects, leases, faults, journal and counters';
  if (await sure([`${button.textContent.replace('…', '')}?`, `This clears ${what}. Connections stay.`, 'Clear'])) {
    await ask('POST', 'v1/reset', reset ? { only: reset.split(',') } : {});
  }
}

// --- Showing -------------------------------------------------------------------------------------

function show_tiles() {
  const s = told.statistics;
  const now = series.at(-1);
  text('tile-requests', now ? `${compact(now.all)}/s` : '–');
  text('tile-requests-note', `${compact(s.requests || 0)} in all`);
  const hits = last_value('hits');
  text('tile-hits', hits === null ? percent(s.leases_granted, s.leases_granted + s.lease_misses) : `${number(100 * hits, 1)} %`);
  text('tile-hits-note', `${compact(s.lease_misses || 0)} misses in all`);
  const p99 = last_value('p99');
  text('tile-latency', p99 === null ? '–' : duration(p99));
  const p50 = last_value('p50');
  text('tile-latency-note', p50 === null ? '' : `p50 ${duration(p50)}`);
  text('tile-objects', compact(s.objects || 0));
  text('tile-objects-note', `${compact(s.evictions || 0)} evicted so far`);
  text('tile-used', percent(s.used_bytes, s.capacity_bytes));
  text('tile-used-note', `${percent(s.pinned_bytes, s.capacity_bytes)} pinned, of ${bytes(s.capacity_bytes || 0)}`);
  text('tile-leases', compact(s.live_leases || 0));
  text('tile-leases-note', `${compact(s.leases_expired || 0)} ended by TTL`);
  text('tile-connections', compact(s.open_connections || 0));
  text('tile-connections-note', `${compact(s.waiters || 0)} ${s.waiters === 1 ? 'waiter' : 'waiters'}`);
}

function show(event, whole) {
  if (event.info || event.segment || whole) {
    const { info, segment } = told;
    text('about', `version ${info.version} · ${info.url} · segment ${segment.name}`);
    text('segment-about', `/dev/shm/${segment.name}: ${bytes(segment.size)}, inode ${segment.inode}, mode ${segment.mode}, ${segment.linked ? 'in place' : 'its name is gone'}`);
    text('map-about', `${number(told.map.blocks)} blocks of ${bytes(info.block_size)}`);
    document.title = `${segment.name} · HyperPod KV emulator`;
  }
  if (event.readiness || whole) {
    const { ready, reason } = told.readiness;
    pill(ready ? 'good' : 'bad', ready ? 'ready' : `not ready: ${reason}`);
  }
  if (event.clock || whole) $('clock-moves').hidden = !told.clock.movable;
  if (event.buckets || event.map || whole) show_legend();
  if (event.faults || whole) show_faults();
  if (event.namespaces || whole) show_checkpoints();
  show_tiles();
  show_times();
  show_requests();
  if (event.map || whole) describe_cell();
  plots.forEach(draw_plot);
  draw_map();
}

function redraw() {
  resolved.clear();
  plots.forEach(draw_plot);
  draw_map();
}

// --- Hands ---------------------------------------------------------------------------------------

function cell_at(event) {
  const box = $('map').getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / grid.side);
  const row = Math.floor((event.clientY - box.top) / grid.side);
  return column < grid.columns ? row * grid.columns + column : -1;
}

function attach() {
  document.body.append(probe);
  const map = $('map');
  map.addEventListener('pointermove', (event) => {
    const cell = cell_at(event);
    if (cell >= 0 && cell < told.map.cells.length) move_cursor(cell);
  });
  map.addEventListener('click', list_cell);
  map.addEventListener('keydown', (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.columns, ArrowUp: -grid.columns, Home: -cursor, End: told.map.cells.length };
    if (event.key in steps) {
      event.preventDefault();
      move_cursor(cursor + steps[event.key]);
    } else if (event.key === 'Enter') {
      list_cell();
    }
  });

  $('theme').addEventListener('click', () => {
    const dark = getComputedStyle(document.body).colorScheme === 'dark' || (!document.documentElement.dataset.theme && matchMedia('(prefers-color-scheme: dark)').matches);
    document.documentElement.dataset.theme = dark ? 'light' : 'dark';
    localStorage.setItem('theme', document.documentElement.dataset.theme);
    redraw();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  window.addEventListener('resize', redraw);

  for (const button of document.querySelectorAll('[data-advance]')) {
    button.addEventListener('click', () => ask('POST', 'v1/clock', { advance_ms: Number(button.dataset.advance) }));
  }
  for (const button of document.querySelectorAll('[data-incident], [data-reset]')) button.addEventListener('click', () => act(button));

  $('pause').addEventListener('click', () => {
    paused = !paused;
    $('pause').setAttribute('aria-pressed', paused);
    show_requests();
  });
  $('filters').addEventListener('input', filter_requests);
  $('filters').addEventListener('submit', (event) => { event.preventDefault(); filter_requests(); });
  $('filters').addEventListener('reset', () => setTimeout(filter_requests));
  setInterval(() => { if (filtered && !paused && !document.hidden) filter_requests(); }, 1000);
  const rows = $('requests').tBodies[0];
  rows.addEventListener('click', (event) => open_detail(event.target.closest('tr').entry));
  rows.addEventListener('keydown', (event) => {
    const row = event.target.closest('tr');
    if (event.key === 'Enter') {
      event.preventDefault(); // or it would press the dialog's button as well
      open_detail(row.entry);
    }
    const next = event.key === 'ArrowDown' ? row.nextElementSibling : event.key === 'ArrowUp' ? row.previousElementSibling : null;
    if (next) { event.preventDefault(); next.focus(); }
  });

  $('preset').append(...presets.map(([label], i) => make('option', { value: i, textContent: label })));
  const fill = () => { $('fault-json').value = JSON.stringify(presets[$('preset').value][1]); };
  $('preset').addEventListener('change', fill);
  fill();
  $('new-fault').addEventListener('submit', (event) => { event.preventDefault(); ask('POST', 'v1/faults', $('fault-json').value); });

  setInterval(() => { if (!document.hidden && told.heard) { show_times(); if (flashes.size) draw_map(); } }, 200);
}

document.documentElement.dataset.theme = localStorage.getItem('theme') || '';
attach();
follow();
