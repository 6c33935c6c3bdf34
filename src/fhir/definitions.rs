//! The compiled facts of FHIR R4 (fhir-profiles/r4): types, elements, search parameters, compartments, codes.
