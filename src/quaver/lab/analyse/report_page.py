"""The report's page around its data: layout and the few lines that react to clicks."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 12px; } h2 { font-size: 19px; margin: 36px 0 4px; }
p { margin: 4px 0 10px; color: #555; max-width: 72ch; }
table { border-collapse: collapse; font-size: 13px; } td, th { padding: 3px 12px 3px 0; text-align: left; }
th { font-weight: 600; color: #555; } tr + tr td { border-top: 1px solid #eee; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts th { padding-right: 24px; white-space: nowrap; }
.scroll { max-height: 420px; overflow: auto; } .two { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
select { font: inherit; padding: 4px 8px; max-width: 100%; } pre { font-size: 12px; overflow: auto; }
@media (max-width: 700px) { .two { grid-template-columns: 1fr; } }
"""

SCRIPT = """
const data = JSON.parse(document.getElementById("data").textContent);
const config = {responsive: true, displayModeBar: false};
function draw(place, name) { return Plotly.react(place, data.figures[name].data, data.figures[name].layout, config); }
for (const select of document.querySelectorAll("select.map")) {
  select.onchange = () => draw(select.dataset.figure, select.value);
  select.onchange();
  if (select.dataset.figure == "layer-map") {
    document.getElementById("layer-map").on("plotly_click", event => {
      choose(event.points[0].y);
      document.getElementById("site").scrollIntoView({behavior: "smooth"});
    });
  }
}
for (const name of Object.keys(data.figures)) if (document.getElementById(name)) draw(name, name);
const menu = document.getElementById("site");
for (const site of data.sites) menu.add(new Option(site, site));
menu.onchange = () => choose(menu.value);

function layout(title, x, y) {
  return {title: {text: title, font: {size: 13}}, height: 260, margin: {l: 55, r: 10, t: 34, b: 40},
          plot_bgcolor: "#f2f2f0", font: {family: "system-ui, sans-serif", size: 12},
          xaxis: {title: {text: x}}, yaxis: {title: {text: y}, gridcolor: "#dcdcd8"}, bargap: 0.05, showlegend: false};
}

function choose(site) {
  menu.value = site;
  const layer = site.split("@")[0], traces = [];  // weights are the layer's, whatever the role
  const found = {w: (data.channels[layer] || {}).w, a: (data.channels[site] || {}).a};
  const names = {w: "output channels of weights", a: "input channels"};
  for (const kind of ["w", "a"]) {
    const rows = found[kind];
    if (!rows) continue;
    traces.push({type: "bar", name: names[kind], y: rows.map(row => row[1]),
                 xaxis: kind == "w" ? "x" : "x2", yaxis: kind == "w" ? "y" : "y2",
                 text: rows.map(row => `channel ${row[0]}, ${row[2] ? "measured" : "predicted"}`), textposition: "none",
                 hovertemplate: "%{text}<br>%{y:.4f} %<extra></extra>",
                 marker: {color: rows.map(row => row[2] ? "#b5341b" : "#e3b9a6")}});
  }
  const place = document.getElementById("channels");
  if (traces.length) {
    const shape = layout("", "output channels of weights, worst first", "ζ %");
    Object.assign(shape, {height: 300, grid: {rows: 1, columns: 2, pattern: "independent"},
                          xaxis2: {title: {text: "input channels, worst first"}}, yaxis2: {gridcolor: "#dcdcd8"}});
    Plotly.react(place, traces, shape, config);
  } else {
    Plotly.purge(place);
    place.textContent = "Channels were not measured here (--level channel does).";
  }
  histogram("weights", layer, "w", "weights");
  histogram("inputs", site, "a", "inputs");
}

function histogram(id, site, kind, title) {
  const place = document.getElementById(id), own = data.histograms[site], bars = own && own[kind];
  if (!bars) { Plotly.purge(place); place.textContent = ""; return; }
  const step = (bars.high - bars.low) / bars.counts.length;
  const trace = {type: "bar", x: bars.counts.map((_, i) => bars.low + (i + 0.5) * step), y: bars.counts,
                 marker: {color: "#4c6a8a"}, hovertemplate: "%{x:.4g}: %{y}<extra></extra>"};
  const shape = layout(title, "", "count");
  shape.yaxis.type = "log";
  Plotly.react(place, [trace], shape, config);
}
if (data.sites.length) choose(data.sites[0]);
"""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sensitivity</title><style>{style}</style><script>{plotly}</script></head>
<body><h1>Sensitivity in J = R + λD, closed loop</h1>{head}{body}
<script type="application/json" id="data">{data}</script><script>{script}</script></body></html>
"""
