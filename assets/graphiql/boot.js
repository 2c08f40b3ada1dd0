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
    who.textContent = !field.value ? 'anonymous: paste a token to see more'
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

  // Whether the text's operation is a subscription. The editor parses with a delay, so its own word may be old.
  function subscribes(text, name) {
    var plain = text.replace(/"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*/g, ' ');
    var depth = 0;
    var found = false;
    (plain.match(/[{}]|[_A-Za-z][_0-9A-Za-z]*/g) || []).forEach(function (token, at, tokens) {
      if (token === '{') { depth += 1; } else if (token === '}') { depth -= 1; }
      else if (depth === 0 && token === 'subscription' && (!name || tokens[at + 1] === name)) { found = true; }
    });
    return found;
  }
  function documentOf(kind, name) {
    return { kind: 'Document', definitions: [{
      kind: 'OperationDefinition', operation: kind, selectionSet: { kind: 'SelectionSet', selections: [] },
      name: name ? { kind: 'Name', value: name } : undefined
    }] };
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
    var kind = subscribes(params.query, params.operationName) ? 'subscription' : 'query';
    var own = { headers: headers, documentAST: documentOf(kind, params.operationName) };
    return call(params, Object.assign({}, options, own));
  }

  // What a newcomer sees first: a query that always has an answer.
  var WELCOME = [
    '# What is here for you? Run this (Ctrl-Enter), then ask a collection by its name.',
    '# Ctrl-Space completes; the book on the left has every field, filter and order.',
    '{', '  collections {', '    name', '    shape { fields { name type tags } }', '  }', '}', ''
  ].join('\n');

  var root = ReactDOM.createRoot(document.getElementById('graphiql'));
  var generation = 0;
  function render() {
    var props = { key: generation, fetcher: fetcher, defaultEditorToolsVisibility: true, shouldPersistHeaders: false,
      defaultQuery: WELCOME };
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
