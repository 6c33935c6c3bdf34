// What the scripts of Node share: the token, and the counting of steps.

export const root = process.env.HISTORIA_ROOT.replace(/\/$/, '');
export const base = `${root}/fhir`;

export async function token() {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: process.env.HISTORIA_CLIENT_ID,
    client_secret: process.env.HISTORIA_CLIENT_SECRET,
  });
  const answer = await fetch(`${root}/oauth/token`, { method: 'POST', body });
  return (await answer.json()).access_token;
}

export class Steps {
  constructor(library) {
    this.library = library;
    this.count = 0;
  }

  done(step, holds = true) {
    if (!holds) throw new Error(`${this.library}: ${step}`);
    this.count += 1;
    console.log(`${this.library}: ${step}`);
  }

  end() {
    console.log(`DONE ${this.library} ${this.count}`);
  }
}

/** What a call that must fail fails with. */
export async function refused(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error('it was not refused');
}

export function transaction() {
  const url = `urn:uuid:${crypto.randomUUID()}`;
  return {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      { fullUrl: url, request: { method: 'POST', url: 'Patient' }, resource: { resourceType: 'Patient', active: true } },
      {
        request: { method: 'POST', url: 'Observation' },
        resource: { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: url } },
      },
    ],
  };
}
