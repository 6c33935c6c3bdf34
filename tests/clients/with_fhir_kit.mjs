// fhir-kit-client (https://www.npmjs.com/package/fhir-kit-client).

import { Client } from 'fhir-kit-client';
import { Steps, base, refused, token, transaction } from './steps.mjs';

const steps = new Steps('fhir-kit-client');
const client = new Client({ baseUrl: base, bearerToken: await token() });
const number = crypto.randomUUID();
const resourceType = 'Patient';

const statement = await client.capabilityStatement();
steps.done('capabilities', statement.fhirVersion === '4.0.1' && statement.rest[0].resource.length === 146);

const identifier = [{ system: 'http://example.org/fhir-kit', value: number }];
const made = await client.create({
  resourceType,
  body: { resourceType, identifier, name: [{ family: 'Peña', given: ['Ana'] }], birthDate: '1984-02-29' },
});
const id = made.id;
steps.done('create', made.meta.versionId === '1');

const read = await client.read({ resourceType, id });
steps.done('read', read.name[0].family === 'Peña');

const body = { ...read, name: [{ family: 'Ruiz' }] };
const options = { headers: { 'If-Match': 'W/"1"' } };
const changed = await client.update({ resourceType, id, body, options });
steps.done('update with If-Match', changed.meta.versionId === '2');
const stale = await refused(() => client.update({ resourceType, id, body, options }));
steps.done('a stale update is refused', stale.response.status === 412);

const patched = await client.patch({ resourceType, id, jsonPatch: [{ op: 'add', path: '/gender', value: 'other' }] });
steps.done('patch', patched.gender === 'other' && patched.meta.versionId === '3');

const first = await client.vread({ resourceType, id, version: '1' });
steps.done('vread', first.name[0].family === 'Peña');

const searchParams = { identifier: `http://example.org/fhir-kit|${number}` };
const found = await client.search({ resourceType, searchParams });
steps.done('search', found.entry.length === 1 && found.entry[0].resource.id === id);
const posted = await client.resourceSearch({ resourceType, searchParams, options: { postSearch: true } });
steps.done('search by POST', posted.entry.length === 1);
const page = await client.search({ resourceType, searchParams: { _count: 1 } });
const next = await client.nextPage({ bundle: page });
steps.done('next page', next.entry.length === 1 && next.entry[0].resource.id !== page.entry[0].resource.id);

const history = await client.history({ resourceType, id });
steps.done('history', history.entry.map((entry) => entry.resource.meta.versionId).join() === '3,2,1');

const answer = await client.transaction({ body: transaction() });
steps.done('transaction', answer.entry.map((entry) => entry.response.status.slice(0, 3)).join() === '201,201');
const batch = await client.batch({ body: { ...transaction(), type: 'batch', entry: [{ request: { method: 'GET', url: `Patient/${id}` } }] } });
steps.done('batch', batch.entry[0].resource.id === id);

const validated = await client.operation({ name: 'validate', resourceType, input: { resourceType, birthDate: '1984-02-30' } });
steps.done('operation', validated.issue[0].expression[0] === 'Patient.birthDate');

const wrong = await refused(() => client.create({ resourceType, body: { resourceType, birthDate: '1984-02-30' } }));
steps.done('a refusal has its place', wrong.response.data.issue[0].expression[0] === 'Patient.birthDate');

await client.delete({ resourceType, id });
const gone = await refused(() => client.read({ resourceType, id }));
steps.done('delete', gone.response.status === 410);
steps.end();
