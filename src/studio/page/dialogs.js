// dialogs.js: asks before something is changed, and the form with which a method is called or an agent made.
import { ApiError, post, pathOf } from './api.js';
import { foreign, foreignBlock, h, show, toast } from './dom.js';
import { callLink } from './parts.js';
import { tree } from './tree.js';

function open(build) {
    const dialog = h('dialog', null);
    dialog.append(build(dialog));
    dialog.onclose = () => dialog.remove();
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
}

const cancel = dialog => h('button', { type: 'button', onclick: () => dialog.close() }, 'Close');

// Asks, then runs f; what it throws is shown in the dialog, which stays.
export function ask({ title, text, button, danger = true, f }) {
    open(dialog => {
        const wrong = h('div', { role: 'alert' });
        const go = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, button);
        return h('form', {
            method: 'dialog', onsubmit: async event => {
                event.preventDefault();
                go.disabled = true;
                try {
                    await f();
                    dialog.close();
                } catch (e) {
                    show(wrong, h('p', { class: 'note bad' }, foreign(e.message)));
                    go.disabled = false;
                }
            },
        }, h('h2', null, title), h('div', null, text), wrong, h('div', { class: 'end' }, cancel(dialog), go));
    });
}

// What a parameter's field says, as JSON: a word that is no JSON is meant as text.
export function asJson(text) {
    const trimmed = text.trim();
    if (trimmed === '')
        return null;
    try {
        JSON.parse(trimmed);
        return trimmed;
    } catch {
        if (/^["[{]/.test(trimmed))
            throw new Error('This is no JSON.');
        return JSON.stringify(text);
    }
}

let fields = 0;

// Fields for declared parameters (params: names), or one for arguments of any form (null). read() gives JSON text,
// '' for none; it marks the field that is wrong, and throws.
function argumentFields(params) {
    if (params && params.length === 0)
        return { el: h('p', { class: 'quiet' }, 'It takes no arguments.'), read: () => '' };
    const many = params === null || params === undefined;
    const inputs = (many ? ['Arguments'] : params).map(name => {
        const id = `param-${++fields}`;
        const hint = many ? '[1, "two"] or {"name": "value"}; empty: none' : '12, true, text, [1, 2], {"a": 1}; empty: not given';
        const input = h('textarea', { id, rows: many ? 4 : 1, placeholder: hint, spellcheck: 'false', 'aria-describedby': `${id}-wrong` });
        const wrong = h('span', { class: 'wrong', id: `${id}-wrong` });
        input.oninput = () => { input.removeAttribute('aria-invalid'); wrong.textContent = ''; };
        return { name, input, wrong, el: h('div', { class: 'param' }, h('label', { for: id }, foreign(name)), input, wrong) };
    });
    const read = () => {
        const given = [];
        for (const { name, input, wrong } of inputs) {
            try {
                const json = asJson(input.value);
                if (many && json !== null && !/^[[{]/.test(json))
                    throw new Error('Arguments are a list or an object.');
                given.push([name, json]);
            } catch (e) {
                wrong.textContent = e.message;
                input.setAttribute('aria-invalid', 'true');
                input.focus();
                throw e;
            }
        }
        if (many)
            return given[0][1] ?? '';
        const named = given.filter(([, json]) => json !== null);
        return named.length ? `{${named.map(([name, json]) => `${JSON.stringify(name)}: ${json}`).join(', ')}}` : '';
    };
    return { el: inputs.map(i => i.el), read };
}

function outcome(answer) {
    if (answer.ok === true)
        return h('div', { class: 'note ok stack' }, h('p', null, h('strong', null, 'It succeeded'), answer.ms !== undefined ? ` after ${answer.ms} ms` : '', '. Its result:'), tree(answer.value ?? null));
    if (answer.ok === false)
        return h('div', { class: 'note bad stack' }, h('p', null, h('strong', null, 'It failed: '), foreign(answer.error.code || '')), foreignBlock(answer.error.message || ''));
    return h('div', { class: 'note warn' }, 'It has not ended yet, and goes on: ', callLink(answer.call_id, 'look at the call'));
}

// The form for a method. `agent` null: the form asks for it.
export function callMethod({ agent, method, onDone }) {
    open(dialog => {
        const args = argumentFields(method.params);
        const to = h('input', { id: `agent-${++fields}`, value: agent ?? '', required: true, readonly: agent !== null, autocomplete: 'off' });
        const out = h('div', { 'aria-live': 'polite' });
        const go = h('button', { type: 'submit', class: 'primary' }, 'Call');
        return h('form', {
            onsubmit: async event => {
                event.preventDefault();
                let given;
                try {
                    given = args.read();
                } catch {
                    return;
                }
                go.disabled = true;
                show(out, h('p', { class: 'quiet' }, 'Waiting for the result …'));
                try {
                    show(out, outcome(await post(pathOf('agents', to.value, 'call'),
                        `{"method": ${JSON.stringify(method.name)}${given ? `, "args": ${given}` : ''}}`)));
                    onDone?.();
                } catch (e) {
                    show(out, h('p', { class: 'note bad' }, foreign(e.message)));
                }
                go.disabled = false;
            },
        }, h('h2', null, 'Call ', foreign(method.name)), method.doc ? h('p', { class: 'quiet' }, foreign(method.doc)) : null,
        h('div', { class: 'field' }, h('label', { for: to.id }, 'Agent'), to), args.el, out,
        h('div', { class: 'end' }, cancel(dialog), go));
    });
}

export function createAgent({ cls, onDone }) {
    open(dialog => {
        const args = argumentFields(null);
        const id = h('input', { id: `agent-${++fields}`, autocomplete: 'off', placeholder: 'empty: one is drawn' });
        const wrong = h('div', { role: 'alert' });
        const go = h('button', { type: 'submit', class: 'primary' }, 'Create');
        return h('form', {
            onsubmit: async event => {
                event.preventDefault();
                let given;
                try {
                    given = args.read();
                } catch {
                    return;
                }
                go.disabled = true;
                try {
                    const made = await post('/api/agents', `{"class": ${JSON.stringify(cls)}${id.value ? `, "id": ${JSON.stringify(id.value)}` : ''}${given ? `, "args": ${given}` : ''}}`);
                    dialog.close();
                    toast(made.ready === null ? `Not there yet: ${made.id}. Its creation goes on.` : `Agent ${made.id} is there.`);
                    onDone?.(made.id);
                } catch (e) {
                    show(wrong, h('p', { class: 'note bad' }, foreign(e instanceof ApiError ? e.message : String(e))));
                    go.disabled = false;
                }
            },
        }, h('h2', null, 'New agent of class ', foreign(cls)), h('div', { class: 'field' }, h('label', { for: id.id }, 'Id'), id), args.el, wrong,
        h('div', { class: 'end' }, cancel(dialog), go));
    });
}
