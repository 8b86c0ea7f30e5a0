// Runs in every page before its own scripts: keeps what the page itself would never tell.
window.watched = { shift: 0, moved: [], violations: [] };

new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
        window.watched.shift += entry.value;
        for (const { node, previousRect, currentRect } of entry.sources) {
            const name = node?.outerHTML?.slice(0, 80) ?? node?.textContent;
            window.watched.moved.push([name, JSON.stringify(previousRect), JSON.stringify(currentRect)]);
        }
    }
}).observe({ type: "layout-shift", buffered: true });

document.addEventListener("securitypolicyviolation", (event) => {
    window.watched.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
});
