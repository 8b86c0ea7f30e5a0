// Returns the texts whose contrast to what is painted behind them is below WCAG's AA. Images and gradients are not seen.
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

// Any CSS colour as [red, green, blue, alpha], by painting it.
function rgba(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
}

function over(front, back) {
    const alpha = front[3];
    return [0, 1, 2].map((i) => front[i] * alpha + back[i] * (1 - alpha)).concat(1);
}

function ancestors(element) {
    const line = [];
    for (let each = element; each; each = each.parentElement) line.push(each);
    return line;
}

// The colour of an empty page, which follows `color-scheme`.
function paper() {
    const probe = document.body.appendChild(document.createElement("div"));
    probe.style.backgroundColor = "Canvas";
    const colour = rgba(getComputedStyle(probe).backgroundColor);
    probe.remove();
    return colour;
}

function luminance(colour) {
    const [red, green, blue] = colour.slice(0, 3).map((value) => {
        const part = value / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
}

const empty = paper();
const faults = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim();
    const range = document.createRange();
    range.selectNode(texts.currentNode);
    const box = range.getBoundingClientRect();
    const seen = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!text || !seen || box.width < 2 || box.height < 2 || element.closest("script, style, :disabled")) continue;

    const style = getComputedStyle(element);
    const line = ancestors(element);
    const back = line.reduceRight((below, each) => over(rgba(getComputedStyle(each).backgroundColor), below), empty);
    const front = rgba(element instanceof SVGElement ? style.fill : style.color);
    front[3] *= line.reduce((product, each) => product * getComputedStyle(each).opacity, 1);

    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = contrast(over(front, back), back);
    if (ratio < (large ? 3 : 4.5)) faults.push(`${ratio.toFixed(2)}:1 for "${text.slice(0, 40)}" (${style.color})`);
}
return faults;
