'use strict';
const figures = JSON.parse(document.getElementById('figures').textContent);
const font = {family: getComputedStyle(document.body).fontFamily, size: 13, color: '#334155'};
const axis = {gridcolor: '#e2e8f0', zerolinecolor: '#cbd5e1', linecolor: '#cbd5e1',
  automargin: true};

function dressed(figure, narrow) {
  const layout = Object.assign({
    font: font, paper_bgcolor: '#fff', plot_bgcolor: '#fff', hovermode: 'closest', height: 400,
    margin: {l: narrow ? 44 : 60, r: 16, t: 64, b: 48},
    legend: {orientation: 'h', y: 1.02, yanchor: 'bottom', x: 1, xanchor: 'right'},
  }, figure.layout);
  layout.title = Object.assign({x: 0, xref: 'paper', xanchor: 'left', y: 0.985, yanchor: 'top',
    font: {size: narrow ? 12 : 14}}, layout.title);
  if (narrow) {
    layout.legend = {orientation: 'h', yref: 'container', y: 0, yanchor: 'bottom', x: 0};
    layout.margin.t = 40;
    layout.margin.b = 90;
  }
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) layout[key] = Object.assign({}, axis, layout[key]);
  }
  return layout;
}

function draw(place, label) {
  const figure = figures[place][label];
  const box = document.getElementById(place);
  Plotly.react(box, figure.data, dressed(figure, box.clientWidth < 560),
    {responsive: true, displaylogo: false, displayModeBar: false});
}

for (const place of Object.keys(figures)) draw(place, Object.keys(figures[place])[0]);
for (const choice of document.querySelectorAll('select')) {
  choice.addEventListener('change', () => draw(choice.dataset.for, choice.value));
}
