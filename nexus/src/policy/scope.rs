//! Which policies can have a say: those whose scope a principal of this kind and this action can be in.
//!
//! Cedar looks at every policy of a set for every request. One whose head names another kind of principal or another action
//! is never satisfied, whatever else is asked, so it is left out beforehand. Conditions (`when`, `unless`) are not looked at.

use std::collections::HashSet;

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint,
};

/// The policies that principals of this kind can meet with this action, which is in these groups.
pub(super) fn within(
    policies: &PolicySet,
    principal: &EntityTypeName,
    action: &EntityUid,
    groups: &HashSet<EntityUid>,
) -> Result<PolicySet, String> {
    let chosen = policies
        .policies()
        .filter(|policy| of_principal(policy, principal) && of_action(policy, action, groups));
    PolicySet::from_policies(chosen.cloned()).map_err(|e| e.to_string())
}

fn of_principal(policy: &Policy, principal: &EntityTypeName) -> bool {
    match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::In(_) => true,
        PrincipalConstraint::Eq(one) => one.type_name() == principal,
        PrincipalConstraint::Is(kind) | PrincipalConstraint::IsIn(kind, _) => kind == *principal,
    }
}

fn of_action(policy: &Policy, action: &EntityUid, groups: &HashSet<EntityUid>) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(one) => one == *action,
        ActionConstraint::In(some) => some.iter().any(|one| one == action || groups.contains(one)),
    }
}
