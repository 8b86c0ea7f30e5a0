// Runs in every page before its own scripts: keeps what the page itself would never tell.
window.watched = { shift: 0, violations: [] };

new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.watched.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });

document.addEventListener("securitypolicyviolation", (event) => {
    window.watched.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
});
