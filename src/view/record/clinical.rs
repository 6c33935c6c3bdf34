//! What is recorded of a patient beside results: allergies, problems, medication, visits, procedures, vaccines, orders,
//! reports, documents, and every other type in a general form.

use crate::view::record::words::{When, Words, clean, code_of, codes, joined, list, text};
use jiff::Span;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

/// One line of a chart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The type of the resource.
    pub kind: &'static str,
    pub id: String,
    /// What it is, in words.
    pub what: String,
    /// Its code, of ICD-10 where there is one.
    pub code: String,
    pub when: When,
    /// When it ended.
    pub until: When,
    /// The status in words, and its code.
    pub status: String,
    pub status_code: String,
    /// Whether it holds now.
    pub active: bool,
    /// Dose, place, reason, notes: whatever else is recorded.
    pub detail: String,
    /// Stands before others of its list: an allergy of high criticality, a report with a conclusion.
    #[serde(skip)]
    pub grave: bool,
    /// The day on which a medicine begins, when it is not the day of its order; whether that is still to come.
    #[serde(skip)]
    pub begins: String,
    #[serde(skip)]
    pub to_begin: bool,
    /// Of a medicine that is given for a time: its first and last day.
    #[serde(skip)]
    pub days: Option<(Date, Date)>,
}

/// What is known of allergies: three states that never look alike, and the one of a role that may not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AllergyState {
    /// The role may not see it.
    Hidden,
    /// Nobody has asked.
    #[default]
    NotAsked,
    /// Asked: none is known.
    NoneKnown,
    Known,
}

impl Item {
    /// Since when it is, in words: of a medicine the day on which it begins.
    pub fn since(&self) -> &str {
        if self.begins.is_empty() { &self.when.text } else { &self.begins }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Allergies {
    pub state: AllergyState,
    /// When it was asked that none is known.
    pub asked: When,
    /// `what` is the substance, `detail` the reaction; those that no longer hold are not `active`.
    pub items: Vec<Item>,
}

/// Codes that say that no allergy is known (SNOMED CT; IPS absent-unknown).
const NONE_KNOWN: [&str; 9] = [
    "716186003",
    "409137002",
    "428607008",
    "429625007",
    "1003774007",
    "160244002",
    "no-known-allergies",
    "no-known-medication-allergies",
    "no-known-food-allergies",
];
/// The codes that say that nothing is known of allergies.
const NOT_ASKED: [&str; 1] = ["no-allergy-info"];

/// The category of a Communication that says that a critical value was seen. HL7 has no code for it: this one is ours.
pub const SEEN: &str = "critical-value-seen";

/// An allergy, or the statement that none is known.
pub enum Allergy {
    Known(Box<Item>),
    /// When it was asked, and whether the statement still holds.
    NoneKnown(When, bool),
    NotAsked,
}

/// That somebody saw a critical value: a Communication about its Observation.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seen {
    /// Observation.id.
    pub of: String,
    /// The value that was seen, as [`super::results::Reading::mark`] writes it.
    pub mark: String,
    pub who: String,
    pub when: When,
}

/// Whether the code of an AllergyIntolerance says that none is known.
pub fn states_none(resource: &Value) -> bool {
    list(resource.get("code").unwrap_or(&Value::Null), "coding")
        .any(|coding| NONE_KNOWN.contains(&text(coding, "code")))
}

impl Words<'_> {
    fn item(&self, kind: &'static str, resource: &Value) -> Item {
        let status = text(resource, "status");
        Item {
            kind,
            id: text(resource, "id").to_owned(),
            status: self.word("status", status),
            status_code: status.to_owned(),
            until: self.date(""),
            ..Item::default()
        }
    }

    pub fn allergy(&self, resource: &Value) -> Allergy {
        let when = self.when(resource, &["recordedDate", "onset"]);
        if list(resource.get("code").unwrap_or(&Value::Null), "coding")
            .any(|coding| NOT_ASKED.contains(&text(coding, "code")))
        {
            return Allergy::NotAsked;
        }
        let clinical = code_of(resource.get("clinicalStatus"), |_| true);
        if states_none(resource) {
            return Allergy::NoneKnown(when, matches!(clinical.as_str(), "" | "active"));
        }
        let mut reactions = Vec::new();
        let mut substances = vec![self.concept(resource.get("code"))];
        for reaction in list(resource, "reaction") {
            let severity = self.word("severity", text(reaction, "severity"));
            reactions.push(joined(
                [self.concepts(reaction, "manifestation"), severity, clean(text(reaction, "description"))],
                ", ",
            ));
            substances.push(self.concept(reaction.get("substance")));
        }
        let criticality = self.word("criticality", text(resource, "criticality"));
        let onset = self.when(resource, &["onset"]);
        let refuted = code_of(resource.get("verificationStatus"), |_| true);
        Allergy::Known(Box::new(Item {
            what: substances
                .into_iter()
                .find(|substance| !substance.is_empty())
                .unwrap_or_else(|| self.say("rec.unnamed").to_owned()),
            code: code_of(resource.get("code"), |_| true),
            active: matches!(clinical.as_str(), "" | "active") && refuted != "refuted",
            status: joined([self.word("status", &clinical), self.word("verification", &refuted)], ", "),
            status_code: clinical,
            detail: joined([joined(reactions, "; "), criticality, self.notes(resource)], ", "),
            grave: text(resource, "criticality") == "high",
            when: if onset.text.is_empty() { when } else { onset },
            ..self.item("AllergyIntolerance", resource)
        }))
    }

    pub fn problem(&self, resource: &Value) -> Item {
        let clinical = code_of(resource.get("clinicalStatus"), |_| true);
        let icd =
            |system: &str| system.to_ascii_lowercase().contains("icd-10") || system.contains("2.16.840.1.113883.6.3");
        let until = self.when(resource, &["abatement"]);
        let verification = code_of(resource.get("verificationStatus"), |_| true);
        let verified =
            if verification == "confirmed" { String::new() } else { self.word("verification", &verification) };
        let stages = joined(list(resource, "stage").map(|stage| self.concept(stage.get("summary"))), ", ");
        Item {
            what: self.concept(resource.get("code")),
            code: code_of(resource.get("code"), icd),
            when: self.when(resource, &["onset", "recordedDate"]),
            active: matches!(clinical.as_str(), "" | "active" | "recurrence" | "relapse")
                && until.text.is_empty()
                && verification != "refuted",
            status: self.word("status", &clinical),
            status_code: clinical,
            until,
            detail: joined(
                [
                    self.concept(resource.get("severity")),
                    stages,
                    self.concepts(resource, "bodySite"),
                    verified,
                    self.notes(resource),
                ],
                ", ",
            ),
            ..self.item("Condition", resource)
        }
    }

    /// MedicationRequest and MedicationStatement.
    pub fn medicine(&self, kind: &'static str, resource: &Value) -> Item {
        let dosages = if kind == "MedicationRequest" { "dosageInstruction" } else { "dosage" };
        let reason = self.concepts(resource, "reasonCode");
        let validity = resource
            .get("dispenseRequest")
            .and_then(|d| d.get("validityPeriod"))
            .map(|period| self.period(period).text)
            .unwrap_or_default();
        let stopped = self.concept(resource.get("statusReason"));
        let stated = if kind == "MedicationStatement" { self.say("rec.stated").to_owned() } else { String::new() };
        let item = self.item(kind, resource);
        let days = list(resource, dosages).next().and_then(|dosage| self.days(resource, dosage));
        let when = self.when(resource, &["authoredOn", "effective", "dateAsserted"]);
        let begins = list(resource, dosages).next().and_then(|dosage| self.first_day(dosage, &when));
        let (begins, to_begin) = begins.unwrap_or_default();
        let until = days.map(|(_, last)| self.reader.fill("rec.until", &[("end", &self.reader.date(last))]));
        Item {
            what: self.concept_or_named(resource, "medication"),
            code: code_of(resource.get("medicationCodeableConcept"), |_| true),
            when,
            begins,
            to_begin,
            active: matches!(item.status_code.as_str(), "active" | "on-hold" | "draft" | "intended"),
            detail: joined(
                [
                    self.dosages(resource, dosages),
                    until.unwrap_or_default(),
                    stated,
                    reason,
                    stopped,
                    validity,
                    self.notes(resource),
                ],
                " · ",
            ),
            days,
            ..item
        }
    }

    /// The day on which a medicine begins, when it is not the one of its order; whether that is still to come is said.
    fn first_day(&self, dosage: &Value, ordered: &When) -> Option<(String, bool)> {
        let start = text(dosage.get("timing")?.get("repeat")?.get("boundsPeriod")?, "start");
        let first = self.reader.day_of(start)?;
        if self.reader.day_of(&ordered.iso) == Some(first) {
            return None;
        }
        let (date, to_begin) = (self.reader.date(first), first > self.reader.today());
        Some((if to_begin { self.reader.fill("rec.starts", &[("date", &date)]) } else { date }, to_begin))
    }

    /// The first and the last day of a dosage, when it says for how long.
    pub fn days(&self, resource: &Value, dosage: &Value) -> Option<(Date, Date)> {
        let repeat = dosage.get("timing")?.get("repeat")?;
        let day = |text: &str| self.reader.day_of(text);
        let period = repeat.get("boundsPeriod");
        let start = period.map(|period| text(period, "start")).filter(|start| !start.is_empty());
        let first = day(start.unwrap_or_else(|| text(resource, "authoredOn")))?;
        let last = match (period, repeat.get("boundsDuration")) {
            (Some(period), _) => day(text(period, "end"))?,
            (None, Some(time)) if matches!(text(time, "code"), "d" | "") => {
                let days: i64 =
                    time.get("value")?.to_string().parse().ok().filter(|days| (1..10_000).contains(days))?;
                first.checked_add(Span::new().days(days - 1)).ok()?
            }
            _ => return None,
        };
        Some((first, last))
    }

    /// A Communication about an Observation, when it says that a critical value was seen.
    pub fn seen(&self, resource: &Value) -> Option<Seen> {
        let about = list(resource, "about").map(|about| text(about, "reference")).next()?;
        let of = about.strip_prefix(self.base).unwrap_or(about).strip_prefix("Observation/")?;
        let mark = list(resource, "payload").map(|payload| text(payload, "contentString")).next()?;
        let completed = text(resource, "status") == "completed" && codes(resource, "category").any(|code| code == SEEN);
        completed.then(|| Seen {
            of: of.to_owned(),
            mark: mark.to_owned(),
            who: self.named(resource.get("sender")),
            when: self.when(resource, &["sent"]),
        })
    }

    /// An Encounter: the kind of visit, when, where and by whom.
    pub fn visit(&self, resource: &Value) -> Item {
        let class = resource.get("class").map(|class| text(class, "code")).unwrap_or_default();
        let word = self.word("class", class);
        let kinds = self.concepts(resource, "type");
        let places: Vec<String> = list(resource, "location").map(|place| self.named(place.get("location"))).collect();
        let stay = resource.get("hospitalization").map(|stay| {
            joined([self.concept(stay.get("admitSource")), self.concept(stay.get("dischargeDisposition"))], " · ")
        });
        let item = self.item("Encounter", resource);
        let active = matches!(item.status_code.as_str(), "arrived" | "triaged" | "in-progress" | "onleave");
        let mut when = resource.get("period").map_or_else(|| self.date(""), |period| self.period(period));
        let has_end = resource.get("period").is_some_and(|period| !text(period, "end").is_empty());
        if active && !has_end {
            when.text = joined([when.text.as_str(), self.say("rec.in_progress")], ", ");
        }
        let mut detail = vec![
            if word.is_empty() { String::new() } else { kinds.clone() },
            self.concept(resource.get("serviceType")),
            joined(&places, ", "),
            self.named(resource.get("serviceProvider")),
            self.people(resource, "participant", "individual"),
            self.concepts(resource, "reasonCode"),
            self.concept(resource.get("priority")),
            stay.unwrap_or_default(),
        ];
        // Nor what the title says.
        let mut said = vec![if word.is_empty() { kinds.clone() } else { word.clone() }];
        detail.retain(|text| {
            !said.contains(text) && {
                said.push(text.clone());
                true
            }
        });
        Item {
            what: if word.is_empty() { kinds } else { word },
            code: class.to_owned(),
            when,
            active,
            detail: joined(detail, " · "),
            ..item
        }
    }

    /// Where an admitted patient lies: the active location of an active visit.
    pub fn place(&self, resource: &Value) -> String {
        let active = list(resource, "location").find(|place| matches!(text(place, "status"), "active" | ""));
        let service = self.concept(resource.get("serviceType"));
        let place = active.map(|place| self.named(place.get("location"))).unwrap_or_default();
        // Places are written `service / bed`.
        if place.starts_with(&service) { place } else { joined([service, place], ", ") }
    }

    pub fn procedure(&self, resource: &Value) -> Item {
        let detail = [
            self.concepts(resource, "bodySite"),
            self.concept(resource.get("outcome")),
            self.concepts(resource, "reasonCode"),
            self.people(resource, "performer", "actor"),
            self.named(resource.get("location")),
            self.notes(resource),
        ];
        let when = self.when(resource, &["performed"]);
        Item {
            what: self.concept(resource.get("code")),
            code: code_of(resource.get("code"), |_| true),
            when,
            detail: joined(detail, " · "),
            ..self.item("Procedure", resource)
        }
    }

    pub fn vaccine(&self, resource: &Value) -> Item {
        let number = |protocol: &Value| match protocol.get("doseNumberPositiveInt") {
            Some(Value::Number(number)) => self.reader.fill("rec.dose_number", &[("n", number.as_str())]),
            _ => clean(text(protocol, "doseNumberString")),
        };
        let doses = joined(list(resource, "protocolApplied").map(number), ", ");
        let lot = clean(text(resource, "lotNumber"));
        let lot = if lot.is_empty() { lot } else { self.reader.fill("rec.lot", &[("lot", &lot)]) };
        let detail = [
            doses,
            lot,
            self.amount(resource.get("doseQuantity")),
            self.concept(resource.get("site")),
            self.people(resource, "performer", "actor"),
            self.notes(resource),
        ];
        let when = self.when(resource, &["occurrence", "recorded"]);
        Item {
            what: self.concept(resource.get("vaccineCode")),
            code: code_of(resource.get("vaccineCode"), |_| true),
            when,
            detail: joined(detail, " · "),
            ..self.item("Immunization", resource)
        }
    }

    pub fn order(&self, resource: &Value) -> Item {
        let item = self.item("ServiceRequest", resource);
        let priority = text(resource, "priority");
        let priority = if priority == "routine" { String::new() } else { self.word("priority", priority) };
        let detail = [
            priority,
            self.concepts(resource, "orderDetail"),
            self.concepts(resource, "reasonCode"),
            self.named(resource.get("requester")),
            clean(text(resource, "patientInstruction")),
            self.notes(resource),
        ];
        Item {
            what: self.concept(resource.get("code")),
            code: code_of(resource.get("code"), |_| true),
            when: self.when(resource, &["authoredOn", "occurrence"]),
            active: matches!(item.status_code.as_str(), "active" | "on-hold" | "draft"),
            detail: joined(detail, " · "),
            ..item
        }
    }

    /// A DiagnosticReport as a text: its conclusion, who gave it, what is attached.
    pub fn report(&self, resource: &Value) -> Item {
        let attached = list(resource, "presentedForm")
            .map(|form| joined([clean(text(form, "title")), clean(text(form, "contentType"))], ", "));
        let detail = [
            clean(text(resource, "conclusion")),
            self.concepts(resource, "conclusionCode"),
            joined(attached, "; "),
            self.people(resource, "performer", ""),
            self.people(resource, "resultsInterpreter", ""),
        ];
        let when = self.when(resource, &["effective", "issued"]);
        // Says something that its results do not.
        let grave = ["conclusion", "conclusionCode", "presentedForm"].iter().any(|name| resource.get(*name).is_some());
        Item {
            grave,
            what: self.concept(resource.get("code")),
            code: code_of(resource.get("code"), |_| true),
            when,
            detail: joined(detail, " · "),
            ..self.item("DiagnosticReport", resource)
        }
    }

    pub fn document(&self, resource: &Value) -> Item {
        let attached = list(resource, "content").filter_map(|content| content.get("attachment"));
        let attached =
            attached.map(|file| joined([clean(text(file, "title")), clean(text(file, "contentType"))], ", "));
        let kind = self.concept(resource.get("type"));
        let kind = if kind.is_empty() { self.concepts(resource, "category") } else { kind };
        let detail = [
            clean(text(resource, "description")),
            joined(attached, "; "),
            self.people(resource, "author", ""),
            self.named(resource.get("custodian")),
        ];
        let when = self.when(resource, &["date"]);
        Item {
            what: kind,
            code: code_of(resource.get("type"), |_| true),
            when,
            detail: joined(detail, " · "),
            ..self.item("DocumentReference", resource)
        }
    }

    /// Any other type: what most types have, under the same few names.
    pub fn other(&self, kind: &'static str, resource: &Value) -> Item {
        let medicine = self.concept_or_named(resource, "medication");
        let found = [
            "code",
            "vaccineCode",
            "type",
            "category",
            "class",
            "scope",
            "relationship",
            "description",
            "title",
            "name",
            "appointmentType",
            "topic",
            "modality",
        ]
        .iter()
        .map(|name| self.any(resource.get(*name)))
        .find(|text| !text.is_empty());
        let series = list(resource, "series")
            .map(|series| joined([self.coding(series.get("modality")), self.coding(series.get("bodySite"))], " "));
        let what = match kind {
            "RelatedPerson" => self.related(resource, list(resource, "name").next()),
            _ if medicine.is_empty() => found.unwrap_or_else(|| joined(series, ", ")),
            _ => medicine,
        };
        let activities = list(resource, "activity").map(|activity| {
            let detail = activity.get("detail").unwrap_or(&Value::Null);
            joined([self.concept(detail.get("code")), clean(text(detail, "description"))], ": ")
        });
        let relatives = list(resource, "condition").map(|condition| {
            joined([self.concept(condition.get("code")), self.concept(condition.get("outcome"))], ", ")
        });
        let people = list(resource, "participant")
            .map(|p| self.named(p.get("member").or(p.get("actor")).or(p.get("individual"))));
        let mut about: Vec<String> = [
            "title",
            "description",
            "comment",
            "goal",
            "summary",
            "dosage",
            "achievementStatus",
            "severity",
            "outcome",
        ]
        .iter()
        .map(|name| match *name {
            "dosage" => self.dosages(resource, name),
            "achievementStatus" => self.word("status", &code_of(resource.get(*name), |_| true)),
            _ => self.any(resource.get(*name)),
        })
        .filter(|text| *text != what)
        .collect();
        let sender = self.named(resource.get("sender"));
        about.extend([
            joined(activities, "; "),
            joined(relatives, "; "),
            joined(people, ", "),
            self.notes(resource),
            sender,
        ]);
        about.dedup();
        let status = ["status", "lifecycleStatus", "state"]
            .iter()
            .map(|name| text(resource, name))
            .find(|status| !status.is_empty())
            .unwrap_or_default();
        let stems = [
            "effective",
            "performed",
            "occurrence",
            "period",
            "started",
            "start",
            "date",
            "created",
            "authoredOn",
            "authored",
            "recorded",
            "whenHandedOver",
            "issued",
            "sent",
            "statusDate",
        ];
        let item = self.item(kind, resource);
        Item {
            what,
            code: code_of(resource.get("code"), |_| true),
            when: self.when(resource, &stems),
            status: self.word("status", status),
            status_code: status.to_owned(),
            active: matches!(status, "active" | "in-progress" | "booked" | "pending"),
            detail: joined(about, " · "),
            ..item
        }
    }

    /// A text, a concept, a coding or a list of them.
    fn any(&self, value: Option<&Value>) -> String {
        match value {
            Some(Value::String(text)) => clean(text),
            Some(Value::Array(items)) => joined(items.iter().map(|item| self.any(Some(item))), ", "),
            Some(value @ Value::Object(members)) if members.contains_key("coding") || members.contains_key("text") => {
                self.concept(Some(value))
            }
            Some(value @ Value::Object(members)) if members.contains_key("reference") => self.named(Some(value)),
            Some(value @ Value::Object(_)) => self.coding(Some(value)),
            _ => String::new(),
        }
    }
}

/// Whether a record was made by mistake: then it is no part of the chart.
pub fn in_error(resource: &Value) -> bool {
    text(resource, "status") == "entered-in-error" || list_code(resource, "verificationStatus") == "entered-in-error"
}

fn list_code<'v>(resource: &'v Value, name: &str) -> &'v str {
    let coding = resource.get(name).and_then(|concept| list(concept, "coding").next());
    coding.map(|coding| text(coding, "code")).unwrap_or_default()
}

/// Whether a list of categories has one of these codes.
pub fn has_category(resource: &Value, wanted: &[&str]) -> bool {
    codes(resource, "category").any(|code| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(code)))
}
