// The checklist: what fails first.

const ORDER = ["fail", "warn", "undecided", "pass", "not asked"];

function setUpChecks() {
  const counts = ORDER.map((status) => [data.checks.filter((check) => check.status === status).length, status]).filter(([count]) => count);
  $("checks-say").textContent = `${data.checks.length} questions a careful reader asks: ${counts.map(([count, status]) => `${count} ${status}`).join(", ")}.`;
  const sorted = [...data.checks].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || a.number - b.number);
  $("checks-list").replaceChildren(...sorted.map(({ number, status, title, why }) => element("li", {},
    element("span", { class: "number" }, String(number)), element("span", { class: `status ${status.replace(" ", "-")}` }, status),
    element("span", { class: "title" }, title), element("span", { class: "why" }, why))));
}
