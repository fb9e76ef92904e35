// A real OpenID provider for tests: node provider.mjs PORT PUBLIC_URL PACKAGES
// Its sign-in form takes any of the people below; access tokens are JWTs for the audience `api`.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [port, publicUrl, packages] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(resolve(packages, 'oidc-provider/lib/index.js')));

const issuer = `http://127.0.0.1:${port}`;
const people = {
  ada: { password: 'ada-pw', name: 'Ada Lovelace', roles: { p: ['reader'] } },
  vera: { password: 'vera-pw', name: 'Vera Rubin', roles: ['reviewer', 'auditor'] },
  norole: { password: 'norole-pw', name: 'No Role' },
};
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'RS256' }] },
  clients: [
    {
      client_id: 'webui',
      token_endpoint_auth_method: 'none',
      application_type: 'native', // loopback addresses without TLS
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: [`${publicUrl}/labeling/session/callback`],
      post_logout_redirect_uris: [`${publicUrl}/labeling/`],
    },
  ],
  pkce: { required: () => true },
  scopes: ['openid', 'profile', 'offline_access'],
  claims: { openid: ['sub'], profile: ['name'] },
  cookies: { keys: ['for tests only'] },
  ttl: { AccessToken: 60, RefreshToken: 3600, IdToken: 60, Session: 3600, Interaction: 600, Grant: 3600 },
  rotateRefreshToken: true,
  findAccount: (_context, id) =>
    people[id] && { accountId: id, claims: () => ({ sub: id, name: people[id].name }) },
  extraTokenClaims: (_context, token) =>
    token.accountId && { name: people[token.accountId].name, roles: people[token.accountId].roles },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:api',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: '',
        audience: 'api',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 60,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  interactions: { url: (_context, interaction) => `/login/${interaction.uid}` },
});

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response);
  if (details.prompt.name === 'login') {
    if (request.method !== 'POST') {
      response.setHeader('content-type', 'text/html');
      response.end(
        `<form method="post" action="/login/${details.uid}"><input name="username" aria-label="Name">` +
          '<input name="password" type="password" aria-label="Password"><button>Sign in</button></form>',
      );
      return;
    }
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    const person = people[form.get('username')];
    if (!person || person.password !== form.get('password')) {
      response.statusCode = 401;
      response.end('unknown person or wrong password');
      return;
    }
    const result = { login: { accountId: form.get('username') } };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    return;
  }
  const grant = new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
  grant.addOIDCScope('openid profile offline_access');
  await provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

const answer = provider.callback();
createServer((request, response) => {
  if (request.url === '/alive') response.end('yes');
  else if (request.url.startsWith('/login/')) interact(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
  else answer(request, response);
}).listen(Number(port), '127.0.0.1');
