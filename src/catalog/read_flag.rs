//! Reading what a catalog says of a flag.

use super::fields::{Reader, Section};
use super::tree::quoted;
use super::{Flag, FlagRule, Rule, Serves};

/// The keys of a flag.
pub(super) const KEYS: &[&str] = &["key", "on", "archived", "version", "rules"];
const RULE_KEYS: &[&str] = &["id", "serves", "unit"];
const SERVES: &[(&str, Serves)] =
    &[("variation", Serves::Variation), ("rollout", Serves::Rollout), ("experiment", Serves::Experiment)];

/// Reads one flag.
pub(super) fn read_flag(reader: &mut Reader, section: &Section<'_>) -> Flag {
    Flag {
        key: reader.required_text(section, "key"),
        on: reader.boolean(section, "on"),
        archived: reader.boolean(section, "archived").unwrap_or_default(),
        version: reader.integer(section, "version"),
        rules: read_rules(reader, section),
    }
}

fn read_rules(reader: &mut Reader, section: &Section<'_>) -> Option<Vec<FlagRule>> {
    let sections = reader.sections(section, "rules", "rule", "id", RULE_KEYS)?;
    let mut rules: Vec<FlagRule> = Vec::with_capacity(sections.len());
    for section in &sections {
        let rule = Rule::named(reader.required_text(section, "id"));
        if rules.iter().any(|other| other.rule == rule) {
            let id = quoted(rule.name());
            reader.fault(section.at, format!("{}: there is another rule {id}; expected each rule once", section.name));
        }
        let Some(serves) = reader.required_choice(section, "serves", SERVES) else { continue };
        let unit = reader.text(section, "unit");
        if serves == Serves::Variation && unit.is_some() {
            reader.fault(
                section.at,
                format!("{}: unit means nothing for a rule that serves one variation; remove it", section.name),
            );
        }
        rules.push(FlagRule { rule, serves, unit });
    }
    Some(rules)
}
