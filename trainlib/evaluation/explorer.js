// Joins the explorer's controls to its plot. Everything stands in the page; nothing is fetched.
(function () {
  "use strict";
  const at = id => document.getElementById(id);
  const data = JSON.parse(at("explorer-data").textContent);
  const floats = text => {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  };
  const angstrom = floats(data.angstrom);
  const curves = {};
  for (const [name, text] of Object.entries(data.curves)) curves[name] = floats(text);
  const spectra = data.spectra;
  const bySnr = spectra.map((_, i) => i).sort((a, b) => spectra[a].snr - spectra[b].snr);
  const ends = [angstrom[0], angstrom[angstrom.length - 1]];
  const wanted = ["snr", "teff", "logg", "feh", "alpha"];
  const scale = name => name === "snr" ? Math.log : value => value;
  const spread = Object.fromEntries(wanted.map(name => {
    const values = spectra.map(one => scale(name)(one[name]));
    return [name, Math.max(...values) - Math.min(...values) || 1];
  }));
  const digits = { snr: 1, teff: 0, logg: 2, feh: 2, alpha: 2 };
  let shown = 0, source, across, panels;

  function told(one) {
    return `S/N ${one.snr.toFixed(1)} · ${one.teff.toFixed(0)} K · log g ${one.logg.toFixed(2)} · ` +
      `[Fe/H] ${one.feh.toFixed(2)} · [α/Fe] ${one.alpha.toFixed(2)}`;
  }

  function show(index) {
    shown = index;
    const n = data.pixels, cut = name => curves[name].subarray(index * n, (index + 1) * n);
    const target = cut("target"), denoised = cut("denoised"), least = data.divisor_floor[index];
    const error = curves.error ? cut("error") : new Float32Array(n);
    const fresh = { angstrom, noisy: cut("noisy"), target, denoised };
    for (const name of ["low", "high", "residual", "below", "above"]) fresh[name] = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const divisor = Math.max(target[i], least);
      fresh.low[i] = denoised[i] - error[i];
      fresh.high[i] = denoised[i] + error[i];
      fresh.residual[i] = 100 * (denoised[i] - target[i]) / divisor;
      fresh.below[i] = -100 * error[i] / divisor;
      fresh.above[i] = 100 * error[i] / divisor;
    }
    source.data = fresh;
    const one = spectra[index];
    at("explorer-told").textContent = `Row ${one.row}: ${told(one)} · ${one.magnitude.toFixed(2)} mag · ` +
      `z = ${one.redshift.toFixed(5)}. Mean |R| ${(100 * one.error).toFixed(2)} %.`;
    at("explorer-pick").value = index;
    frame();
  }

  // Both panels are as high as what is seen asks for.
  function frame() {
    const d = source.data;
    let low = Infinity, high = -Infinity, most = 0;
    const spare = [];
    for (let i = 0; i < angstrom.length; i++) {
      if (angstrom[i] < across.start || angstrom[i] > across.end) continue;
      low = Math.min(low, d.target[i], d.denoised[i]);
      high = Math.max(high, d.target[i], d.denoised[i]);
      spare.push(Math.abs(d.noisy[i] - d.target[i]));
      most = Math.max(most, Math.abs(d.residual[i]), d.above[i]);
    }
    if (low > high) return;
    spare.sort((a, b) => a - b);
    const noise = Math.min(2.5 * spare[Math.floor(spare.length / 2)], 2 * (high - low) + 0.05);
    const margin = 0.08 * (high - low) + noise;
    panels.flux.y_range.setv({ start: low - margin, end: high + margin });
    most = Math.max(1.1 * most, 0.1);
    panels.residual.y_range.setv({ start: -most, end: most });
  }

  function look(from, to) {
    const width = Math.min(to - from, ends[1] - ends[0]);
    const start = Math.max(ends[0], Math.min(from, ends[1] - width));
    across.setv({ start, end: start + width });
    frame();
  }

  const views = {
    whole: () => look(...ends),
    triplet: () => look(...data.triplet),
    closer: () => zoom(0.5),
    farther: () => zoom(2),
    left: () => shift(-0.3),
    right: () => shift(0.3),
    before: () => step(-1),
    after: () => step(1),
  };
  function zoom(factor) {
    const middle = (across.start + across.end) / 2, half = factor * (across.end - across.start) / 2;
    look(middle - half, middle + half);
  }
  function shift(share) {
    const width = across.end - across.start;
    look(across.start + share * width, across.end + share * width);
  }
  function step(by) {
    const place = bySnr.indexOf(shown) + by;
    if (place >= 0 && place < bySnr.length) { show(bySnr[place]); sliders(); }
  }

  function sliders() {
    for (const name of wanted) {
      at(`want-${name}`).value = scale(name)(spectra[shown][name]);
      say(name);
    }
  }
  function say(name) {
    const value = Number(at(`want-${name}`).value);
    at(`told-${name}`).textContent = (name === "snr" ? Math.exp(value) : value).toFixed(digits[name]);
  }
  function nearest() {
    const wish = Object.fromEntries(wanted.map(name => [name, Number(at(`want-${name}`).value)]));
    const far = one => wanted.reduce((sum, name) =>
      sum + (((scale(name)(one[name]) - wish[name]) / spread[name]) ** 2) * (name === "snr" ? 10 : 1), 0);
    return spectra.reduce((best, one, i) => far(one) < far(spectra[best]) ? i : best, 0);
  }

  function paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(`--${name}`).trim();
    for (const panel of Object.values(panels)) {
      for (const axis of [...panel.below, ...panel.left]) {
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = colour("soft");
        axis.major_label_text_color = axis.axis_label_text_color = colour("ink");
      }
      for (const grid of panel.center) if ("grid_line_color" in grid) grid.grid_line_color = colour("line");
      for (const one of panel.renderers) {
        const is_area = "fill_color" in one.glyph;
        one.glyph[is_area ? "fill_color" : "line_color"] = colour(one.name);
      }
    }
  }

  function begin(drawn) {
    const named = name => drawn.get_model_by_name(name);
    panels = { flux: named("flux"), residual: named("residual") };
    across = panels.flux.x_range;
    source = panels.flux.renderers[0].data_source;
    for (const i of bySnr) at("explorer-pick").add(new Option(told(spectra[i]), i));
    for (const name of wanted) {
      const values = spectra.map(one => scale(name)(one[name])), slider = at(`want-${name}`);
      Object.assign(slider, { min: Math.min(...values), max: Math.max(...values), step: "any" });
      slider.addEventListener("input", () => { say(name); show(nearest()); });
    }
    at("explorer-pick").addEventListener("change", event => { show(Number(event.target.value)); sliders(); });
    for (const [name, act] of Object.entries(views)) at(`view-${name}`).addEventListener("click", act);
    look(...ends);
    paint();
    show(0);
    sliders();
    let waiting;
    across.change.connect(() => { clearTimeout(waiting); waiting = setTimeout(frame, 60); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    document.documentElement.dataset.explorer = "ready";
  }

  Bokeh.embed.embed_item(JSON.parse(at("explorer-plot").textContent), "explorer-here")
    .then(() => begin(Bokeh.documents[Bokeh.documents.length - 1]));
})();
