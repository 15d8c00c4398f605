'use strict';
const figures = JSON.parse(document.getElementById('figures').textContent);
const episodes = JSON.parse(document.getElementById('viewer-data').textContent);
const root = document.documentElement;
const NARROW = 560;

/* Colours: figures name a role, such as `@accent` or `@accent/0.2`; the style sheet has its value. */
let palette = {};
function readPalette() {
  const style = getComputedStyle(root);
  palette = new Proxy({}, {get: (_, role) => style.getPropertyValue('--' + role).trim()});
}
function colour(role) {
  const [name, alpha] = role.slice(1).split('/');
  const value = palette[name];
  return alpha ? value + Math.round(alpha * 255).toString(16).padStart(2, '0') : value;
}
function coloured(node) {
  if (typeof node === 'string') return /^@[a-z]+(\/[\d.]+)?$/.test(node) ? colour(node) : node;
  if (Array.isArray(node)) {
    return node.length && typeof node[0] === 'number' ? node : node.map(coloured);
  }
  if (node && typeof node === 'object' && !ArrayBuffer.isView(node)) {
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, coloured(value)]));
  }
  return node;
}

function dressed(figure, width) {
  const narrow = width < NARROW;
  const named = figure.data.filter((trace) => trace.name && trace.showlegend !== false).length;
  const legend = named > 1 && figure.layout.showlegend !== false || figure.layout.showlegend;
  const axis = {gridcolor: colour('@grid'), zerolinecolor: colour('@line'), automargin: true,
    linecolor: colour('@line'), ticks: '', title: {standoff: 6}};
  const layout = Object.assign({
    font: {family: getComputedStyle(document.body).fontFamily, size: 12, color: colour('@soft')},
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', hovermode: 'closest',
    height: figure.height, dragmode: 'zoom', showlegend: legend,
    hoverlabel: {bgcolor: colour('@back'), bordercolor: colour('@muted'),
      font: {color: colour('@ink')}},
  }, coloured(figure.layout));
  layout.legend = Object.assign({orientation: 'h', y: 1.01, yanchor: 'bottom', x: 0,
    xanchor: 'left', bgcolor: 'rgba(0,0,0,0)'}, figure.layout.legend);
  layout.margin = Object.assign({l: narrow ? 44 : 54, r: 12, t: legend ? 34 : 12, b: 44},
    figure.layout.margin);
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) {
      const own = layout[key];
      layout[key] = Object.assign({}, axis, own);
      if (own.title) layout[key].title = Object.assign({}, axis.title, own.title);
    }
  }
  /* a finger that scrolls the page is no drag in a figure */
  if (matchMedia('(pointer: coarse)').matches) layout.dragmode = false;
  return layout;
}

const shown = {};
function draw(place, label) {
  const figure = figures[place][label];
  const box = document.getElementById(place);
  shown[place] = label;
  const head = document.getElementById(place + '-title');
  if (head) head.textContent = figure.title;
  const lead = document.getElementById(place + '-lead');
  if (lead) lead.textContent = figure.lead;
  const data = coloured(figure.data);
  if (place === 'states') data.push(...imaginedTraces(label));
  box.setAttribute('role', 'img');
  box.setAttribute('aria-label', figure.title + '. ' + figure.lead);
  return Plotly.react(box, data, dressed(figure, box.clientWidth),
    {responsive: true, displaylogo: false, displayModeBar: false});
}

/* The viewer: an episode's camera, and what the plan of one slot imagined. */
const viewer = {label: null, at: 0, timer: null};
const one = (id) => document.getElementById(id);

function floats(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
function rollouts(label) {
  const found = (episodes.rollouts || {})[label];
  if (!found || !found.seconds.length) return null;
  if (typeof found.imagined === 'string') found.imagined = floats(found.imagined);
  if (typeof found.spread === 'string') found.spread = floats(found.spread);
  return found;
}
/* Times and values of one rollout in one panel, beginning with nothing but the future. */
function rollout(found, at, panel, sheet) {
  const x = [], y = [];
  for (let step = 0; step < found.steps; step += 1) {
    const value = sheet[(at * found.steps + step) * found.panels + panel];
    if (Number.isNaN(value)) break;
    x.push(found.seconds[at] + (step + 1) * found.period);
    y.push(value);
  }
  return [x, y];
}
/* A 95 % band around a rollout, as one outline. */
function outline(found, at, panel) {
  const [x, y] = rollout(found, at, panel, found.imagined);
  const std = rollout(found, at, panel, found.spread)[1];
  const n = std.length;
  const high = y.slice(0, n).map((v, i) => v + 1.96 * std[i]);
  const low = y.slice(0, n).map((v, i) => v - 1.96 * std[i]);
  return [x.slice(0, n).concat(x.slice(0, n).reverse()), high.concat(low.reverse())];
}
function fan(found, panel) {
  const stride = Math.max(1, Math.ceil(found.seconds.length / 24));
  const x = [], y = [];
  for (let at = 0; at < found.seconds.length; at += stride) {
    const [times, values] = rollout(found, at, panel, found.imagined);
    x.push(...times, null);
    y.push(...values, null);
  }
  return [x, y];
}
function imaginedTraces(label) {
  const found = rollouts(label);
  const traces = [];
  for (let panel = 0; found && panel < found.panels; panel += 1) {
    const axes = {xaxis: 'x' + (panel ? panel + 1 : ''), yaxis: 'y' + (panel ? panel + 1 : ''),
      type: 'scatter', mode: 'lines', showlegend: panel === 0};
    const [x, y] = fan(found, panel);
    traces.push({...axes, name: 'imagined, other slots', x, y, hoverinfo: 'skip',
      legendgroup: 'fan', line: {color: colour('@accent/0.3'), width: 1}});
    const [ox, oy] = found.spread ? outline(found, viewer.at, panel) : [[], []];
    traces.push({...axes, x: ox, y: oy, fill: 'toself', fillcolor: colour('@accent/0.18'),
      line: {width: 0}, hoverinfo: 'skip', showlegend: false});
    const [hx, hy] = rollout(found, viewer.at, panel, found.imagined);
    traces.push({...axes, name: 'imagined in the chosen slot', x: hx, y: hy, legendgroup: 'chosen',
      line: {color: colour('@accent'), width: 2.5}, hovertemplate: '%{x:.2f} s: %{y:.4g}<extra>' +
      'imagined</extra>'});
  }
  return traces;
}
function cursor(seconds, count) {
  return Array.from({length: count}, (_, i) => ({type: 'line', x0: seconds, x1: seconds, y0: 0,
    y1: 1, xref: 'x' + (i ? i + 1 : ''), yref: 'y' + (i ? i + 1 : '') + ' domain',
    line: {color: colour('@muted'), width: 1}}));
}
function planeFigure(found, label) {
  const [i, j] = found.plane;
  const actual = figures.states[label].data;
  const [, fx] = fan(found, i), [, fy] = fan(found, j);
  const [, hx] = rollout(found, viewer.at, i, found.imagined);
  const [, hy] = rollout(found, viewer.at, j, found.imagined);
  const lines = {type: 'scatter', mode: 'lines', hoverinfo: 'skip'};
  const here = actual[i].x.findIndex((t) => t >= found.seconds[viewer.at] - 1e-6);
  const data = [
    {...lines, name: 'imagined, other slots', x: fx, y: fy,
      line: {color: colour('@accent/0.3'), width: 1}},
    {...lines, name: 'actual', x: actual[i].y, y: actual[j].y,
      line: {color: colour('@ink'), width: 1.8}},
    {...lines, name: 'imagined in the chosen slot', x: hx, y: hy, mode: 'lines+markers',
      line: {color: colour('@accent'), width: 2.5}, marker: {size: 4}},
    {...lines, name: 'the chosen slot', mode: 'markers', x: [actual[i].y[here]],
      y: [actual[j].y[here]], marker: {size: 11, symbol: 'circle-open', color: colour('@ink'),
        line: {width: 2}}},
  ];
  const layout = dressed({height: 340, data: [], layout: {showlegend: false,
    xaxis: {title: {text: found.names[i]}}, yaxis: {title: {text: found.names[j]},
      scaleanchor: 'x', scaleratio: 1}}}, 400);
  return [data, layout];
}
function slotTimes(label) {
  const found = rollouts(label);
  if (found) return found.seconds;
  const frames = (episodes.frames || {})[label];
  return frames ? frames.seconds : [];
}
function show(at) {
  const times = slotTimes(viewer.label);
  viewer.at = Math.max(0, Math.min(at, times.length - 1));
  const seconds = times[viewer.at] || 0;
  const found = rollouts(viewer.label);
  one('slider').value = viewer.at;
  const name = found ? 'slot ' + found.slots[viewer.at] : 'frame ' + (viewer.at + 1);
  const text = name + ', ' + seconds.toFixed(2) + ' s into the episode';
  one('slot').textContent = text;
  one('slider').setAttribute('aria-valuetext', text);
  showFrame(seconds);
  if (found) showRollout(found, seconds);
}
function showFrame(seconds) {
  const frames = (episodes.frames || {})[viewer.label];
  const box = one('camera');
  if (!box) return;
  box.hidden = !frames;
  if (!frames) return;
  let at = 0;
  while (at + 1 < frames.seconds.length && frames.seconds[at + 1] <= seconds + 1e-6) at += 1;
  one('frame').src = frames.images[at];
  one('frame').alt = 'camera, ' + frames.seconds[at].toFixed(2) + ' s into ' + viewer.label;
}
function showRollout(found, seconds) {
  const box = one('states');
  const own = figures.states[viewer.label].data.length;
  const xs = [], ys = [], which = [];
  for (let panel = 0; panel < found.panels; panel += 1) {
    const [ox, oy] = found.spread ? outline(found, viewer.at, panel) : [[], []];
    const [hx, hy] = rollout(found, viewer.at, panel, found.imagined);
    xs.push(ox, hx);
    ys.push(oy, hy);
    which.push(own + 3 * panel + 1, own + 3 * panel + 2);
  }
  Plotly.update(box, {x: xs, y: ys}, {shapes: cursor(seconds, found.panels)}, which);
  const plane = one('plane');
  plane.hidden = !found.plane;
  if (found.plane) {
    Plotly.react(plane, ...planeFigure(found, viewer.label),
      {responsive: true, displaylogo: false, displayModeBar: false});
  }
}
function play(on) {
  clearInterval(viewer.timer);
  viewer.timer = null;
  one('play').textContent = on ? 'Pause' : 'Play';
  if (!on) return;
  const times = slotTimes(viewer.label);
  if (viewer.at >= times.length - 1) show(0);
  const begun = performance.now() - 1000 * times[viewer.at];
  viewer.timer = setInterval(() => {
    const now = (performance.now() - begun) / 1000;
    let at = viewer.at;
    while (at + 1 < times.length && times[at + 1] <= now) at += 1;
    if (at !== viewer.at) show(at);
    if (at >= times.length - 1) play(false);
  }, 40);
}
function choose(label) {
  play(false);
  viewer.label = label;
  const times = slotTimes(label);
  viewer.at = Math.floor(times.length / 3);
  one('transport').hidden = times.length < 2;
  one('slider').max = Math.max(0, times.length - 1);
  if (figures.states) draw('states', label);
  show(viewer.at);
}
function startViewer() {
  const choice = one('episode');
  if (!choice) return;
  choice.addEventListener('change', () => choose(choice.value));
  one('slider').addEventListener('input', (event) => { play(false); show(+event.target.value); });
  one('play').addEventListener('click', () => play(!viewer.timer));
  choose(choice.value);
}

/* All figures, one at a time, so that the page answers while they are drawn. */
function drawAll() {
  readPalette();
  const places = Object.keys(figures).filter((place) => place !== 'states');
  const queue = places.map((place) => () => draw(place, shown[place] ||
    Object.keys(figures[place])[0]));
  queue.push(() => (viewer.label ? choose(viewer.label) : startViewer()));
  root.dataset.drawn = 'no';
  (function next() {
    const job = queue.shift();
    if (!job) { root.dataset.drawn = 'yes'; return; }
    job();
    setTimeout(next, 0);
  }());
}
for (const choice of document.querySelectorAll('select[data-for]')) {
  choice.addEventListener('change', () => draw(choice.dataset.for, choice.value));
}
/* The table of figures: rows whose name holds what is typed; without, those not folded away. */
const find = one('find'), more = one('unfold');
function filter() {
  const text = find.value.trim().toLowerCase();
  for (const row of document.querySelectorAll('#all tbody tr')) {
    const folded = 'folded' in row.dataset && !text && more && !more.hidden;
    row.hidden = folded || !row.dataset.name.includes(text);
  }
}
if (find) find.addEventListener('input', filter);
if (more) more.addEventListener('click', () => { more.hidden = true; filter(); });
/* A link into something folded away unfolds it. */
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let up = target; up; up = up.parentElement) if (up.tagName === 'DETAILS') up.open = true;
  if (target) target.scrollIntoView();
}
addEventListener('hashchange', unfold);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
drawAll();
unfold();
