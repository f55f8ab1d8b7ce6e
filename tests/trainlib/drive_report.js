// Moves every control of a page as a hand or a keyboard would, and tells what changed.
const wait = () => new Promise(done => setTimeout(done, 200));
addEventListener("load", async () => {
  for (let i = 0; i < 60 && document.documentElement.dataset.explorer !== "ready"; i++) await wait();
  const at = id => document.getElementById(id), drawn = Bokeh.documents[0];
  const flux = drawn.get_model_by_name("flux"), range = flux.x_range;
  const source = flux.renderers[0].data_source;
  const canvas = () => {
    const found = [];
    const walk = node => {
      if (node.tagName === "CANVAS" && node.width) found.push(node.toDataURL());
      for (const child of [...node.children, ...(node.shadowRoot ? node.shadowRoot.children : [])]) walk(child);
    };
    walk(at("explorer-here"));
    return found.join();
  };
  const told = {ready: document.documentElement.dataset.explorer, steps: {}};
  const look = async (name, act) => {
    const before = canvas(), text = at("explorer-told").textContent, first = source.data.target[5];
    act();
    for (let i = 0; i < 60 && canvas() === before; i++) await wait();  // it is painted when it is
    told.steps[name] = {canvas: canvas() !== before, range: [range.start, range.end],
      text: at("explorer-told").textContent !== text, data: source.data.target[5] !== first,
      y: [flux.y_range.start, flux.y_range.end]};
  };
  await look("triplet", () => at("view-triplet").click());
  await look("farther", () => at("view-farther").click());
  await look("right", () => at("view-right").click());
  await look("whole", () => at("view-whole").click());
  await look("after", () => at("view-after").click());
  await look("pick", () => { const list = at("explorer-pick"); list.value = list.options[0].value;
                             list.dispatchEvent(new Event("change")); });
  await look("slider", () => { const one = at("want-snr"); one.value = one.max;
                               one.dispatchEvent(new Event("input")); });
  told.best = at("explorer-told").textContent;
  document.querySelectorAll("details").forEach(one => one.open = true);
  await wait();
  told.wide = document.scrollingElement.scrollWidth - innerWidth;
  const tables = [...document.querySelectorAll(".scroll")].filter(one => one.querySelector("table"));
  told.cut = tables.filter(one => one.scrollWidth > one.clientWidth).map(one => one.ariaLabel);
  told.unnamed = [...document.querySelectorAll("button, input, select")].filter(one =>
    !one.ariaLabel && !one.textContent.trim() && !one.labels.length).map(one => one.id);
  told.fetched = performance.getEntriesByType("resource").map(one => one.name.slice(0, 80))
    .filter(name => !name.startsWith("data:") && !name.startsWith("blob:"));
  told.wrong = wrong;
  const node = document.createElement("pre");
  node.id = "answer";
  node.textContent = JSON.stringify(told);
  document.body.append(node);
});
