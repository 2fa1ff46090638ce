//! Secrets, and how they are kept out of what is printed: servers repeat what they were sent, so nothing is shown before it
//! went through here.

use std::fmt;

/// Text that must not be shown.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// For sending it, and for nothing else.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Every variable that holds a secret, and what is shown in its place.
const VARIABLES: &[(&str, &str)] = &[
    ("AZURE_CLIENT_SECRET", "<client secret>"),
    ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "<certificate password>"),
    ("IDENTITY_HEADER", "<identity header>"),
    ("MSI_SECRET", "<identity header>"),
];

/// All secrets that this run has met.
pub(super) struct Secrets(Vec<(String, &'static str)>);

/// Shorter ones would be found inside ordinary words.
const SHORTEST: usize = 4;

impl Secrets {
    pub(super) fn from_environment() -> Self {
        let mut secrets = Secrets(Vec::new());
        for (variable, label) in VARIABLES {
            if let Ok(value) = std::env::var(variable) {
                secrets.hide(&value, label);
            }
        }
        secrets
    }

    pub(super) fn hide(&mut self, secret: &str, label: &'static str) {
        let secret = secret.trim();
        if secret.len() < SHORTEST {
            return;
        }
        for form in forms(secret) {
            if !self.0.iter().any(|(known, _)| *known == form) {
                self.0.push((form, label));
            }
        }
    }

    /// The text without secrets, without anything that has the form of a signed token, and without characters that would
    /// move a terminal's cursor. To be called before a text is shortened, or half a secret would be left.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (secret, label) in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), label);
            }
        }
        without_tokens(&text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// How a secret may come back: as it is, as JSON writes it, and as it is written in URLs and forms.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let mut forms = vec![secret.to_owned(), json[1..json.len() - 1].to_owned()];
    // Some leave more characters as they are than others.
    for left in ["-._", "-._~", "-._*", "-_.!~*'()"] {
        let encoded = |byte: u8| {
            let plain = byte.is_ascii_alphanumeric() || left.as_bytes().contains(&byte);
            if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        };
        let upper: String = secret.bytes().map(encoded).collect();
        forms.push(upper.replace("%20", "+"));
        forms.push(upper);
    }
    forms
}

/// A JWT begins with the base64 of `{"`; one that a server has cut short may have no dot any more.
fn without_tokens(text: &str) -> String {
    const SHORTEST: usize = 16;
    let in_token = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("eyJ") {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c| !in_token(c)).unwrap_or(from.len());
        clean.push_str(before);
        clean.push_str(if end >= SHORTEST { "<token>" } else { &from[..end] });
        rest = &from[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_tokens_and_control_characters_are_cut_out() {
        let mut secrets = Secrets(Vec::new());
        secrets.hide("a~secret/value", "<client secret>");
        let shown = secrets.clean("a~secret/value a%7Esecret%2Fvalue a~secret%2Fvalue \x1b[2J\r\n");
        assert_eq!(shown, "<client secret> <client secret> <client secret>  [2J  ");
        secrets.hide(r#""quoted" \"#, "<password>");
        assert_eq!(secrets.clean(r#"{"x":"\"quoted\" \\"}"#), r#"{"x":"<password>"}"#);
        let token = "eyJhbGciOiJub25lIn0.eyJvaWQiOiIxIn0.c2ln";
        assert_eq!(secrets.clean(&format!("({token}) {} eyJ", &token[..18])), "(<token>) <token> eyJ");
    }
}
