// A certified OpenID provider for tests (npm oidc-provider), told everything in one JSON argument.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const { issuer, port, key: file, client } = JSON.parse(process.argv[2]);
if (!existsSync(file)) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const made = { ...privateKey.export({ format: 'jwk' }), kid: `k${Date.now()}`, use: 'sig', alg: 'ES256' };
  writeFileSync(file, JSON.stringify(made));
}
const key = JSON.parse(readFileSync(file));

const provider = new Provider(issuer, {
  clients: [client],
  jwks: { keys: [key] },
  cookies: { keys: ['only-for-tests'] },
  pkce: { required: () => true },
  claims: { openid: ['sub', 'sid'], profile: ['name'] },
  conformIdTokenClaims: false,
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, name: '测试员' }) }),
  fetch: (url, { dispatcher: _, ...options }) => fetch(url, options), // it refuses loopback, where we are
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
});
provider.on('server_error', (_, error) => console.error(error));
provider.on('backchannel.error', (_, error) => console.error(error));
provider.listen(port, '127.0.0.1');
