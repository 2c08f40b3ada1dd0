// Starts GraphiQL against this server. The token lives in this tab only: it may come in the address as
// #token=…, optionally with &query=…, is moved from there to the tab's own storage, and travels in the
// Authorization header or, for subscriptions, in connection_init.
(function () {
  'use strict';
  var KEY = 'wellspring.token';
  var field = document.getElementById('token');
  var who = document.getElementById('who');
  var given = new URLSearchParams(location.hash.slice(1));

  function stored() {
    try { return sessionStorage.getItem(KEY) || ''; } catch (_) { return ''; }
  }
  function keep(token) {
    try { sessionStorage.setItem(KEY, token); } catch (_) { /* then only this page has it */ }
  }
  // What the token says of itself, for the eye only; the server checks it.
  function claims(token) {
    try {
      var part = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
      var bytes = Uint8Array.from(atob(part), function (c) { return c.charCodeAt(0); });
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch (_) { return null; }
  }
  function show() {
    var said = claims(field.value);
    who.textContent = !field.value ? 'anonymous'
      : said ? said.sub + (said.roles && said.roles.length ? ' (' + said.roles.join(', ') + ')' : '')
      : 'not a token';
  }

  field.value = given.get('token') || stored();
  keep(field.value);
  if (location.hash) { history.replaceState(null, '', location.pathname + location.search); }
  show();

  function authorization() {
    var token = field.value.trim();
    return token ? 'Bearer ' + token : null;
  }
  function bearer(headers) {
    var own = Object.keys(headers || {}).find(function (name) { return name.toLowerCase() === 'authorization'; });
    return own ? headers[own] : authorization();
  }

  function fetcher(params, options) {
    var headers = Object.assign({}, options && options.headers);
    var value = bearer(headers);
    if (value) {
      Object.keys(headers).forEach(function (name) {
        if (name.toLowerCase() === 'authorization') { delete headers[name]; }
      });
      headers.authorization = value;
    }
    // A fetcher of its own for each call: its socket then carries the token that is shown now.
    var call = GraphiQL.createFetcher({
      url: location.origin + '/graphql',
      subscriptionUrl: location.origin.replace(/^http/, 'ws') + '/graphql',
      wsConnectionParams: value ? { authorization: value } : {}
    });
    return call(params, Object.assign({}, options, { headers: headers }));
  }

  var root = ReactDOM.createRoot(document.getElementById('graphiql'));
  var generation = 0;
  function render() {
    var props = { key: generation, fetcher: fetcher, defaultEditorToolsVisibility: true, shouldPersistHeaders: false };
    var query = given.get('query');
    if (query && generation === 0) { props.query = query; }
    root.render(React.createElement(GraphiQL, props));
  }
  // Another actor sees another schema: start again.
  field.addEventListener('change', function () {
    field.value = field.value.trim();
    keep(field.value);
    show();
    generation += 1;
    render();
  });
  render();
})();
