// The page from top to bottom.

$("title").textContent = data.title;
$("claims").replaceChildren(...data.claims.map((claim) => element("p", { class: "claim" }, claim)));
$("about").textContent = data.about.filter(Boolean).join(" · ");
if (data.skipped.length) {
  $("skipped").replaceChildren(element("details", { class: "warning" },
    element("summary", {}, `${data.skipped.length} things could not be read; everything else is here`),
    element("ul", { class: "small" }, ...data.skipped.map((line) => element("li", {}, line)))));
}
for (const setUp of [setUpCurve, setUpHeat, setUpLayers, setUpBehaviour, setUpTraining, setUpCompare, setUpTable, setUpChecks]) setUp();
$("contents").replaceChildren(...[...document.querySelectorAll("main > section:not([hidden])")].map((section) => (
  element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent))));
watch();
document.documentElement.dataset.ready = "yes";
