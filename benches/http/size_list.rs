//! The shapes of search that are measured at each size of the site.

/// A search. `{..}` stands for something of one of the people of the sample, another one for each request.
pub struct Shape {
    pub group: &'static str,
    pub path: &'static str,
}

pub const ONE: &str = "one patient";
pub const FEW: &str = "selective";
pub const MANY: &str = "broad";
pub const JOINED: &str = "chains and includes";

const fn shape(group: &'static str, path: &'static str) -> Shape {
    Shape { group, path }
}

/// `{absent}`: 200 codes that nobody has. `{today}`: the day of the newest encounters.
pub const SHAPES: &[Shape] = &[
    shape(ONE, "Observation?patient={patient}&category=laboratory"),
    shape(ONE, "Observation?patient={patient}&code=http://loinc.org|8302-2"),
    shape(ONE, "Observation?patient={patient}&date=ge2010&date=lt2016&_sort=date"),
    shape(ONE, "Encounter?patient={patient}&status=finished"),
    shape(ONE, "Condition?patient={patient}&clinical-status=active&_sort=-recorded-date"),
    shape(ONE, "Observation?patient={patient}&_summary=count"),
    shape(ONE, "Patient?_id={patient}"),
    shape(FEW, "Patient?identifier=https://www.registraduria.gov.co|{document}"),
    shape(FEW, "Patient?family={family}"),
    shape(FEW, "Patient?birthdate={born}"),
    shape(FEW, "Patient?family={start}&birthdate={born}"),
    shape(FEW, "Patient?name={family}&gender=female,male&_sort=family"),
    shape(FEW, "Observation?encounter=Encounter/{encounter}"),
    shape(FEW, "DiagnosticReport?result=Observation/{observation}"),
    shape(FEW, "Observation?code=http://loinc.org|none"),
    shape(FEW, "Observation?code={absent}"),
    shape(MANY, "Encounter?date=ge{today}&status=in-progress"),
    shape(MANY, "Encounter?date=ge{today}"),
    shape(MANY, "Patient?family={start}"),
    shape(MANY, "Patient?family={start}&_sort=family"),
    shape(MANY, "Patient?_sort=family"),
    shape(MANY, "Patient?family:contains=ar"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2&date=ge2012-03&date=lt2012-05&_sort=date"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2&date=lt1960"),
    shape(MANY, "Observation?code=http://loinc.org|2857-1"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2&category=laboratory"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2&code=http://loinc.org|29463-7"),
    shape(MANY, "Observation?code-value-quantity=http://loinc.org|8302-2$gt150||cm"),
    shape(MANY, "Observation?code-value-quantity=http://loinc.org|8302-2$gt199||cm"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2&_sort=-_lastUpdated"),
    shape(MANY, "Condition?code=http://snomed.info/sct|444814009&_sort=_id"),
    shape(MANY, "Encounter?status:not=finished"),
    shape(MANY, "Observation?status:not=final"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2&status:not=final"),
    shape(MANY, "Observation?date:missing=true"),
    shape(MANY, "Encounter?reason-code:missing=false"),
    shape(MANY, "Condition?abatement-date:missing=true"),
    shape(MANY, "Patient?_summary=count"),
    shape(MANY, "Observation?code=http://loinc.org|8302-2&_summary=count"),
    shape(MANY, "Observation?_summary=count"),
    shape(MANY, "Observation?_total=estimate&_count=0"),
    shape(JOINED, "Encounter?participant:Practitioner.family={practitioner}"),
    shape(JOINED, "Observation?subject:Patient.family={family}"),
    shape(JOINED, "Patient?_has:Observation:patient:code=http://loinc.org|8302-2"),
    shape(JOINED, "Patient?_has:Observation:patient:code=http://loinc.org|none"),
    shape(JOINED, "Encounter?date=ge{today}&_include=Encounter:patient"),
    shape(JOINED, "Patient?_id={patient}&_revinclude=Condition:patient"),
];
