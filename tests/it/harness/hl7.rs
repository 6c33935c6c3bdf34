//! Composed HL7 v2 messages of invented people, and what their acknowledgements say.

use crate::harness::unique;

/// One visit of one person, whose messages a test sends.
#[derive(Clone, Debug)]
pub struct Visit {
    pub document: String,
    pub visit: String,
    pub family: String,
    pub facility: String,
}

impl Visit {
    pub fn new() -> Visit {
        Visit {
            document: unique(),
            visit: format!("V-{}", unique()),
            family: "MUÑOZ PEÑA".to_owned(),
            facility: "HOSPITAL".to_owned(),
        }
    }

    fn header(&self, event: &str, structure: &str, control: &str, time: &str) -> String {
        format!(
            "MSH|^~\\&|HIS|{}|HISTORIA|RED|{time}-0500||ADT^{event}^{structure}|{control}|P|2.5.1|||||COL|UNICODE UTF-8\rEVN|{event}|{time}-0500\r",
            self.facility
        )
    }

    fn person(&self, address: &str) -> String {
        format!("PID|1||{}^^^RNEC^CC||{}^MARÍA^JOSÉ^^^^L||19840229|F|||{address}\r", self.document, self.family)
    }

    /// PV1 with these fields beside the visit number (PV1-19).
    fn stay(&self, fields: &[(usize, &str)]) -> String {
        let visit = format!("{}^^^{}^VN", self.visit, self.facility);
        let mut all = vec![""; 46];
        for (n, text) in [(1, "1"), (19, visit.as_str())].iter().chain(fields) {
            all[*n] = text;
        }
        format!("PV1{}\r", all[1..].iter().map(|field| format!("|{field}")).collect::<String>().trim_end_matches('|'))
    }

    pub fn a01(&self, control: &str) -> String {
        let stay = self.stay(&[(2, "I"), (3, "URG^101^A"), (4, "E"), (44, "20240301081000")]);
        self.header("A01", "ADT_A01", control, "20240301081500")
            + &self.person("CALLE 10 # 5-20^APTO 301^BOGOTÁ^DC^110111^COL^H")
            + &stay
    }

    pub fn a04(&self, control: &str) -> String {
        let stay = self.stay(&[(2, "O"), (3, "CONSULTA^4"), (44, "20240301081000")]);
        self.header("A04", "ADT_A01", control, "20240301081500")
            + &self.person("CALLE 10 # 5-20^^BOGOTÁ^DC^110111^COL^H")
            + &stay
    }

    pub fn a08(&self, control: &str, address: &str) -> String {
        let stay = self.stay(&[(2, "I"), (3, "UCI^3^B")]);
        self.header("A08", "ADT_A01", control, "20240302100000")
            + &self.person(&format!("{address}^^BOGOTÁ^DC^110111^COL^H"))
            + &stay
    }

    pub fn a03(&self, control: &str) -> String {
        let stay = self.stay(&[(2, "I"), (3, "UCI^3^B"), (36, "01"), (44, "20240301081000"), (45, "20240305160000")]);
        self.header("A03", "ADT_A03", control, "20240305160500") + &self.person("") + &stay
    }
}

/// Fields of the first segment of this name; MSH counts its separator as field 1.
pub fn segment(message: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(message).into_owned();
    let line = text.split('\r').find(|line| line.split('|').next() == Some(name)).unwrap_or_default().to_owned();
    let mut fields: Vec<String> = line.split('|').map(str::to_owned).collect();
    if name == "MSH" {
        fields.insert(1, "|".to_owned());
    }
    fields
}

/// MSA-1 and MSA-2.
pub fn code(ack: &[u8]) -> (String, String) {
    let msa = segment(ack, "MSA");
    let field = |n: usize| msa.get(n).cloned().unwrap_or_default();
    (field(1), field(2))
}

#[track_caller]
pub fn accepted(ack: &[u8], control: &str) {
    assert_eq!(code(ack), ("AA".to_owned(), control.to_owned()), "{}", String::from_utf8_lossy(ack));
}

/// MSA-1, and the code of the first ERR-3.
pub fn refusal(ack: &[u8]) -> (String, String) {
    let err = segment(ack, "ERR");
    let code_of = err.get(3).map(|field| field.split('^').next().unwrap_or_default().to_owned()).unwrap_or_default();
    (code(ack).0, code_of)
}
