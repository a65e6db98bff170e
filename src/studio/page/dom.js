// dom.js: makes elements, and brings what is shown up to date without replacing it. Text from outside becomes
// text nodes only: nothing here, or anywhere in the page, parses it as HTML.

const SVG = 'http://www.w3.org/2000/svg';

function fill(el, props, children) {
    for (const [key, value] of Object.entries(props || {})) {
        if (value === null || value === undefined || value === false)
            continue;
        if (key.startsWith('on')) {
            el[key] = value;
            (el.handlers ??= new Set()).add(key);
        } else if (key === 'css') {
            for (const [name, text] of Object.entries(value))
                el.style.setProperty(name, text);
        } else {
            el.setAttribute(key, value === true ? '' : value);
        }
    }
    append(el, children);
    return el;
}

function append(el, children) {
    for (const child of children) {
        if (Array.isArray(child))
            append(el, child);
        else if (child !== null && child !== undefined && child !== false)
            el.append(child instanceof Node ? child : String(child));
    }
}

// h('a', {href: '#/x', onclick: f, css: {width: '10%'}}, 'text', [more]): an element of HTML.
export function h(tag, props, ...children) {
    return fill(document.createElement(tag), props, children);
}

// The same for SVG.
export function s(tag, props, ...children) {
    return fill(document.createElementNS(SVG, tag), props, children);
}

// What is not seen, or changes the direction of other text: controls, marks of direction, zero width, line ends,
// tags, half surrogates.
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

function escaped(c) {
    const code = c.codePointAt(0);
    const named = { 9: '\\t', 10: '\\n', 13: '\\r', 27: '\\e' }[code];
    return named || (code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`);
}

// Text with what is not seen written out, for attributes (title, aria-label).
export function plain(text) {
    return String(text).replace(UNSEEN, escaped);
}

// Text of others (an id, a message), isolated from the text around it; what is not seen is written out and marked.
export function foreign(text, cls) {
    const str = String(text);
    const parts = [];
    let end = 0;
    for (const match of str.matchAll(UNSEEN)) {
        if (match.index > end)
            parts.push(str.slice(end, match.index));
        parts.push(h('span', { class: 'esc' }, escaped(match[0])));
        end = match.index + match[0].length;
    }
    parts.push(str.slice(end));
    return h('bdi', { class: cls ? `foreign ${cls}` : 'foreign' }, parts);
}

// Longer text of others, in which line ends and tabs are kept.
export function foreignBlock(text) {
    return h('pre', { class: 'block', tabindex: 0 },
        String(text).split(/(\n|\t)/).map(part => part === '\n' || part === '\t' ? part : foreign(part)));
}

// Makes `el` hold these children, keeping the elements that are there already: focus, scrolling and what is open
// stay. Elements with data-key are the same if their keys are; one with the same data-keep is left as it is. While
// something is pressed, what is in the document stays, and shows the newest afterwards.
export function show(el, ...children) {
    if (pressed && el.isConnected) {
        later.set(el, children);
        return;
    }
    later.delete(el);
    const fresh = document.createDocumentFragment();
    append(fresh, children);
    morphChildren(el, fresh);
}

// A click is lost when what it began on is replaced or moved before the pointer is released; that of a finger also when
// it is behind that, because it comes a while later.
const PRESS_MS = 10000; // then nothing was heard of the release: it was in a menu of the browser, perhaps
const TAP_MS = 500;
const later = new Map();
let pressed = false;
let timer = null;

function release() {
    pressed = false;
    for (const [el, children] of [...later])
        show(el, ...children);
}

function releaseIn(ms) {
    clearTimeout(timer);
    timer = setTimeout(release, ms);
}

addEventListener('pointerdown', event => {
    pressed = event.button === 0;
    releaseIn(PRESS_MS);
}, true);
addEventListener('pointerup', event => releaseIn(event.pointerType === 'mouse' ? 0 : TAP_MS), true); // behind the click
addEventListener('pointercancel', () => releaseIn(0), true);
addEventListener('blur', () => releaseIn(0)); // of the window
addEventListener('pointermove', event => {
    if (pressed && event.pointerType === 'mouse' && event.buttons === 0) // released outside of the page
        releaseIn(0);
}, true);
addEventListener('click', () => {
    pressed = false; // what it does is shown at once
    releaseIn(0);
}, true);

function morphChildren(old, fresh) {
    const keyed = new Map();
    for (const child of old.children)
        if (child.dataset?.key !== undefined)
            keyed.set(child.dataset.key, child);
    let at = old.firstChild;
    for (const want of [...fresh.childNodes]) {
        const key = want.dataset?.key;
        let have = null;
        if (key !== undefined) {
            have = keyed.get(key) || null;
            keyed.delete(key);
        } else {
            have = at;
            while (have && have.dataset?.key !== undefined)
                have = have.nextSibling;
        }
        if (have && have.nodeName === want.nodeName) {
            if (have === at)
                at = at.nextSibling;
            else
                old.insertBefore(have, at);
            morph(have, want);
        } else {
            old.insertBefore(want, at);
        }
    }
    while (at) {
        const next = at.nextSibling;
        at.remove();
        at = next;
    }
}

function morph(have, want) {
    if (have.nodeType !== Node.ELEMENT_NODE) {
        if (have.nodeValue !== want.nodeValue)
            have.nodeValue = want.nodeValue;
        return;
    }
    if (want.dataset.keep !== undefined) {
        if (have.dataset.keep !== want.dataset.keep)
            have.replaceWith(want);
        return;
    }
    for (const { name } of [...have.attributes])
        if (!want.hasAttribute(name) && !(name === 'open' && have.nodeName === 'DETAILS'))
            have.removeAttribute(name);
    for (const { name, value } of want.attributes)
        if (name !== 'style' && have.getAttribute(name) !== value)
            have.setAttribute(name, value);
    if (have.style.cssText !== want.style.cssText)
        have.style.cssText = want.style.cssText;
    for (const name of have.handlers || [])
        have[name] = null;
    for (const name of want.handlers || [])
        have[name] = want[name];
    have.handlers = want.handlers;
    morphChildren(have, want);
}

let announced = 0;

// A short message at the edge of the page, which screen readers say.
export function toast(text, kind = 'ok') {
    const id = ++announced;
    const el = h('div', { class: `toast ${kind}`, id: `toast-${id}` }, foreign(text),
        h('button', { type: 'button', class: 'plain', 'aria-label': 'Close the message', onclick: () => el.remove() }, '×'));
    const box = document.getElementById('toasts');
    box.append(el);
    while (box.children.length > 4)
        box.firstChild.remove();
    if (kind === 'ok')
        setTimeout(() => el.remove(), 8000);
}

// Stands for an element that stays the same from one show() to the next: where it is already, a stand-in is enough.
export function keep(el) {
    el.dataset.key ??= el.dataset.keep;
    return el.isConnected ? h(el.localName, { 'data-keep': el.dataset.keep, 'data-key': el.dataset.key }) : el;
}

// A text for data-keep that changes when the value does.
export function keepOf(value) {
    const text = JSON.stringify(value, (k, v) => typeof v === 'bigint' ? `${v}n` : v) ?? 'undefined';
    let hash = 0x811c9dc5;
    for (let i = 0; i < text.length; i++)
        hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    return `${text.length}.${hash >>> 0}`;
}
