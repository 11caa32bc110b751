//! [`Code`]: why a request was not carried out, for programs.

use serde::{Deserialize, Serialize};

/// Why a request was not carried out. A refusal is a normal answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No provider has room for it now.
    NoCapacity,
    /// The token holds as many leases, or has used as many hours, as it may. Also: too many requests.
    Quota,
    /// The token may not have this at all.
    OverPolicy,
    /// There is no such lease of this token.
    UnknownLease,
    /// The key was used for another request.
    KeyReused,
    /// The request cannot be understood, or asks for what cannot be.
    Invalid,
    /// There is no token, or it is not one that is known.
    Unauthorized,
    /// The pool itself has a fault, or its provider has.
    Internal,
    /// A word that this version does not know.
    #[serde(other)]
    Other,
}

impl Code {
    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoCapacity => 503,
            Self::Quota => 429,
            Self::OverPolicy => 403,
            Self::UnknownLease => 404,
            Self::KeyReused => 409,
            Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::Internal | Self::Other => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool_api::Answer;

    #[test]
    fn a_word_of_a_newer_version_is_no_error() {
        let answer: Answer<()> =
            serde_json::from_str(r#"{"success":false,"data":null,"error":"x","code":"brand_new","more":1}"#).unwrap();
        assert_eq!(answer.code, Some(Code::Other));
        let refused = serde_json::to_value(Answer::<()>::refused(Code::NoCapacity, "full")).unwrap();
        assert_eq!(
            refused,
            serde_json::json!({ "success": false, "data": null, "error": "full", "code": "no_capacity" })
        );
    }
}
