//! Every page of every role that shows something, for the bench and for the test of their weight.

pub struct Listed {
    /// Nobody signed in when empty.
    pub role: &'static str,
    pub name: &'static str,
    /// The address, or with `link` that of the page on which the first such link is followed.
    pub from: &'static str,
    pub link: &'static str,
    pub then: &'static str,
}

const fn at(role: &'static str, name: &'static str, from: &'static str) -> Listed {
    Listed { role, name, from, link: "", then: "" }
}

const fn by(
    role: &'static str,
    name: &'static str,
    from: &'static str,
    link: &'static str,
    then: &'static str,
) -> Listed {
    Listed { role, name, from, link, then }
}

const FOUND: &str = "/admision?q=munoz";
const PERSON: &str = "/admision/paciente/";
/// The sample with the longest record.
const CHART: &str = "/paciente/CC-51999208";

pub const PAGES: &[Listed] = &[
    at("", "sign in", "/login"),
    at("", "forgotten password", "/login/olvido"),
    at("", "activation", "/registro"),
    at("admisionista", "search", "/admision"),
    at("admisionista", "search, found", FOUND),
    at("admisionista", "arrivals", "/admision/llegadas"),
    at("admisionista", "register", "/admision/registrar"),
    by("admisionista", "patient", FOUND, PERSON, ""),
    by("admisionista", "admit", FOUND, PERSON, "/ingresar"),
    by("admisionista", "correct the data", FOUND, PERSON, "/datos"),
    at("medico", "patients", "/medico"),
    at("medico", "patients, found", "/medico?q=munoz"),
    at("medico", "chart", CHART),
    at("medico", "chart, all of it", "/paciente/CC-51999208?todo=1"),
    by("medico", "one result", CHART, "/registro/Observation/", ""),
    by("medico", "correct an entry", CHART, "/registro/Condition/", "/corregir"),
    at("medico", "vital signs", "/paciente/CC-51999208/signos"),
    at("medico", "observation, found", "/paciente/CC-51999208/observacion?q=glu"),
    at("medico", "observation", "/paciente/CC-51999208/observacion?codigo=2823-3"),
    at("medico", "problem", "/paciente/CC-51999208/problema"),
    at("resultados", "worklist", "/resultados"),
    by("resultados", "enter a result", "/resultados", "/resultados/orden/", ""),
    at("resultados", "chart", CHART),
    at("paciente", "my record", "/mi-historia"),
    at("paciente", "my results", "/mi-historia/resultados"),
    by("paciente", "one of my results", "/mi-historia/resultados", "/mi-historia/resultados/", ""),
    at("paciente", "my visits", "/mi-historia/visitas"),
    at("paciente", "who looked", "/mi-historia/accesos"),
    at("admin", "accounts", "/admin"),
    at("admin", "add an account", "/admin/cuentas/nueva"),
    at("admin", "clients", "/admin/clientes"),
    at("admin", "messages", "/admin/mensajes"),
    at("admin", "audit", "/admin/auditoria"),
    at("admin", "my account", "/cuenta"),
];

/// The first address on a page that holds this.
pub fn link(html: &str, part: &str) -> Option<String> {
    let found =
        html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).find(|href| href.contains(part));
    found.map(|href| href.replace("&#x3D;", "=").replace("&amp;", "&"))
}
