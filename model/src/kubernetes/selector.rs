//! Kubernetes: meta.v1.LabelSelector.

use crate::Labels;

/// Labels that all must be there, and conditions on labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// `matchLabels`.
    pub labels: Labels,
    /// `matchExpressions`.
    pub expressions: Vec<LabelExpression>,
}

/// One of a selector's conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelExpression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: LabelOperator,
    /// For the first two.
    pub values: Vec<String>,
}

/// A selector's comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LabelOperator {
    /// One of the values.
    In,
    /// None of the values; a label that is missing is none of them.
    NotIn,
    /// There.
    Exists,
    /// Not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether these labels are selected; an empty selector selects all.
    pub fn matches(&self, labels: &Labels) -> bool {
        crate::is_subset(&self.labels, labels)
            && self.expressions.iter().all(|condition| {
                let value = labels.get(&condition.key);
                let listed = value.is_some_and(|value| condition.values.contains(value));
                match condition.operator {
                    LabelOperator::In => listed,
                    LabelOperator::NotIn => !listed,
                    LabelOperator::Exists => value.is_some(),
                    LabelOperator::DoesNotExist => value.is_none(),
                }
            })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }
}
