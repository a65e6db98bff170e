// api.js: asks the server. Errors become ApiError with the text that the server gives; whole numbers that a double
// cannot hold stay exact (BigInt).

export class ApiError extends Error {
    constructor(status, error) {
        super(error.message || `HTTP status ${status}`);
        this.status = status;
        this.code = error.code || '';
        this.error = error;
    }
}

// Whole numbers beyond 2^53 come as BigInt where the browser gives the source of a number.
export function parse(text) {
    return JSON.parse(text, (key, value, source) => {
        if (typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source?.source || ''))
            return BigInt(source.source);
        return value;
    });
}

async function ask(path, options) {
    let response, text;
    try {
        response = await fetch(path, { credentials: 'same-origin', redirect: 'error', ...options });
        text = await response.text();
    } catch (e) {
        if (e.name === 'AbortError')
            throw e;
        throw new ApiError(0, { code: 'GONE', message: 'as-studio does not answer' });
    }
    let body;
    try {
        body = parse(text);
    } catch {
        throw new ApiError(response.status, { message: `an answer that is no JSON (status ${response.status})` });
    }
    if (response.status === 401)
        location.assign('/login.html');
    if (!response.ok)
        throw new ApiError(response.status, body.error || {});
    return body;
}

// get('/api/calls', {state: 'parked', limit: 5}, signal): parameters that are empty are left out.
export function get(path, params = {}, signal = undefined) {
    const chosen = Object.entries(params).filter(([, v]) => v !== undefined && v !== null && v !== '');
    const query = new URLSearchParams(chosen).toString();
    return ask(query ? `${path}${path.includes('?') ? '&' : '?'}${query}` : path, { signal });
}

// What was asked, or an ApiError why there is no answer, for a part of a view that can be missing.
export async function orError(asked) {
    try {
        return await asked;
    } catch (error) {
        if (!(error instanceof ApiError) || error.code === 'GONE')
            throw error;
        return error;
    }
}

let csrf = '';

// What every write has to bring along; other sites cannot read it.
export function useCsrf(token) {
    csrf = token;
}

// `body` is an object, or text that is JSON already.
export function post(path, body = {}) {
    return ask(path, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
        body: typeof body === 'string' ? body : JSON.stringify(body),
    });
}

// The path of one agent, call, ...: pathOf('agents', id, 'calls'). Browsers take "." and "..", also when they are encoded,
// for steps within a path, so such ids are given as a parameter.
export function pathOf(kind, id, what = '') {
    const step = id === '.' || id === '..';
    return `/api/${kind}/${step ? '-' : encodeURIComponent(id)}${what ? `/${what}` : ''}${step ? `?id=${id}` : ''}`;
}
