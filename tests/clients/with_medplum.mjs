// @medplum/core (https://www.npmjs.com/package/@medplum/core), its client against a server that is not Medplum.

import { MedplumClient, OperationOutcomeError } from '@medplum/core';
import { Steps, refused, root, token, transaction } from './steps.mjs';

const steps = new Steps('@medplum/core');
const medplum = new MedplumClient({ baseUrl: `${root}/`, fhirUrlPath: 'fhir', accessToken: await token(), cacheTime: 0 });
const number = crypto.randomUUID();

const made = await medplum.createResource({
  resourceType: 'Patient',
  identifier: [{ system: 'http://example.org/medplum', value: number }],
  name: [{ family: 'Peña', given: ['Ana'] }],
  birthDate: '1984-02-29',
});
steps.done('create', made.meta.versionId === '1');

const read = await medplum.readResource('Patient', made.id);
steps.done('read', read.name[0].family === 'Peña');

const changed = await medplum.updateResource({ ...read, name: [{ family: 'Ruiz' }] });
steps.done('update', changed.meta.versionId === '2' && changed.name[0].family === 'Ruiz');

const patched = await medplum.patchResource('Patient', made.id, [{ op: 'add', path: '/gender', value: 'other' }]);
steps.done('patch', patched.gender === 'other' && patched.meta.versionId === '3');

const found = await medplum.searchResources('Patient', { identifier: `http://example.org/medplum|${number}` });
steps.done('search', found.length === 1 && found[0].id === made.id);
const one = await medplum.searchOne('Patient', { identifier: `http://example.org/medplum|${number}` });
steps.done('search for one', one.id === made.id);

const same = await medplum.createResourceIfNoneExist(
  { resourceType: 'Patient', identifier: [{ system: 'http://example.org/medplum', value: number }] },
  `identifier=http://example.org/medplum|${number}`
);
steps.done('conditional create', same.id === made.id);

const history = await medplum.readHistory('Patient', made.id);
steps.done('history', history.entry.map((entry) => entry.resource.meta.versionId).join() === '3,2,1');
const first = await medplum.readVersion('Patient', made.id, '1');
steps.done('vread', first.name[0].family === 'Peña');

const answer = await medplum.executeBatch(transaction());
steps.done('transaction', answer.entry.map((entry) => entry.response.status.slice(0, 3)).join() === '201,201');

const everything = await medplum.readPatientEverything(made.id);
steps.done('everything', everything.entry[0].resource.id === made.id);

const validated = await medplum.validateResource({ resourceType: 'Patient', active: true });
steps.done('validate', validated.issue.every((issue) => issue.severity !== 'error'));

const wrong = await refused(() => medplum.createResource({ resourceType: 'Patient', birthDate: '1984-02-30' }));
steps.done('a refusal has its place', wrong instanceof OperationOutcomeError && wrong.outcome.issue[0].expression[0] === 'Patient.birthDate');

await medplum.deleteResource('Patient', made.id);
const gone = await refused(() => medplum.readResource('Patient', made.id, { cache: 'reload' }));
steps.done('delete', gone instanceof OperationOutcomeError);
steps.end();
