//! Kubernetes: meta.v1.LabelSelector.

use meshproof_model::kubernetes::{LabelExpression, LabelOperator, LabelSelector};

use crate::field::Field;

/// Reads one.
pub(crate) fn read(field: &Field<'_>) -> LabelSelector {
    let expression = |entry: Field<'_>| {
        let operator = match entry.text_at("operator")?.as_str() {
            "In" => LabelOperator::In,
            "NotIn" => LabelOperator::NotIn,
            "Exists" => LabelOperator::Exists,
            "DoesNotExist" => LabelOperator::DoesNotExist,
            _ => return None,
        };
        let values = entry.texts("values").into_iter().map(|value| value.value).collect();
        Some(LabelExpression { key: entry.text_at("key")?, operator, values })
    };
    LabelSelector {
        labels: field.labels_at("matchLabels"),
        expressions: field.read_list("matchExpressions", expression),
    }
}
