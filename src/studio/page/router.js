// router.js: the view that the address names, behind '#': #/agents/tally?x=y. Each part is percent-encoded.

export function route() {
    const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
    let parts;
    try {
        parts = path.split('/').map(decodeURIComponent);
    } catch {
        parts = [''];
    }
    return { view: parts[0] || 'overview', id: parts.slice(1).join('/') || null, params: new URLSearchParams(query || '') };
}

// to('agents', 'tally', {class: 'C'}): an address for href.
export function to(view, id = null, params = {}) {
    const chosen = Object.entries(params).filter(([, v]) => v !== undefined && v !== null && v !== '');
    const query = new URLSearchParams(chosen).toString();
    return `#/${view}${id === null ? '' : `/${encodeURIComponent(id)}`}${query ? `?${query}` : ''}`;
}

// Changes the parameters without a new entry in the history, and without showing the view anew.
export function remember(view, id, params) {
    history.replaceState(null, '', to(view, id, params));
}
