// login.js: gives the token to the server, which answers with a cookie that scripts cannot read.
const form = document.getElementById('form');
const failed = document.getElementById('failed');

form.onsubmit = async event => {
    event.preventDefault();
    failed.hidden = true;
    let why = 'as-studio does not answer.';
    try {
        const response = await fetch('/api/login', {
            method: 'POST', credentials: 'same-origin', headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ token: document.getElementById('token').value }),
        });
        if (response.ok) {
            location.assign('/');
            return;
        }
        why = response.status === 401 ? 'This is not the token.'
            : response.status === 429 ? 'Too many wrong tokens: try again in a minute.' : `The server refuses (status ${response.status}).`;
    } catch { /* told below */ }
    failed.textContent = why;
    failed.hidden = false;
    document.getElementById('token').select();
};
