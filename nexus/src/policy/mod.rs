//! Who may do what: Cedar, after the gate, which it can only narrow.
//!
//! Entity types stand in `nexus/policy/schema.cedarschema`, actions come from the route table, the default policies are
//! `nexus/policy/NN-name.cedar`. All are parsed once and validated strictly at start; a warning is an error, and an error while
//! a policy is evaluated denies (I6). Entities come from rows, never from the request. An operator's own policies are
//! added to the defaults, which stay.

mod entities;
mod scope;

use std::collections::{HashMap, HashSet};

use assay_api::routes::{ROUTES, Route};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};

use crate::op::{Caller, Found};
use crate::problem::{Fault, Problem};

const TYPES: &str = include_str!("../../policy/schema.cedarschema");

/// The default policies, by file name.
pub const DEFAULTS: &[(&str, &str)] = &[
    ("00-floor", include_str!("../../policy/00-floor.cedar")),
    ("10-roles", include_str!("../../policy/10-roles.cedar")),
];

/// The policies can't be used. The nexus does not start with them.
#[derive(Debug, thiserror::Error)]
#[error("the policy `{file}` can't be used: {why}")]
pub struct BadPolicy {
    /// The file, without its ending.
    pub file: String,
    /// What Cedar says.
    pub why: String,
}

/// The policies, ready to decide.
pub struct Policy {
    authorizer: Authorizer,
    policies: PolicySet,
    actions: HashMap<&'static str, Action>,
    contexts: HashMap<Circumstances, Context>,
}

/// An action, and all that is known of it before anybody asks.
struct Action {
    uid: EntityUid,
    /// Names the groups that it is in, over all generations.
    entity: Entity,
    /// For each kind of principal that the schema lets ask: the policies whose scope it can be in.
    by: HashMap<EntityTypeName, PolicySet>,
    /// The kinds of things that it is about.
    on: HashSet<EntityTypeName>,
}

/// What a context holds: bypass, granted, attestation.
type Circumstances = (bool, bool, Option<&'static str>);

/// What is asked. Everything in it comes from rows and from the route table.
#[derive(Debug)]
pub struct Question<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// What.
    pub route: &'static Route,
    /// On what.
    pub target: &'a Found,
    /// Whether the gate's freshness shall be bypassed.
    pub bypass: bool,
    /// Whether an active grant of the caller's names the target.
    pub granted: bool,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("policies", &self.policies.num_of_policies())
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// The defaults, and an operator's own policies beside them: file names without ending, and texts.
    ///
    /// # Errors
    /// [`BadPolicy`] where one can't be parsed, is not valid for the schema, or Cedar warns of it.
    pub fn load(own: &[(String, String)]) -> Result<Self, BadPolicy> {
        let schema_text = format!("{TYPES}{}", assay_api::cedar::actions());
        let bad = |file: &str, why: String| BadPolicy {
            file: file.to_owned(),
            why,
        };
        let (schema, warnings) =
            Schema::from_cedarschema_str(&schema_text).map_err(|e| bad("schema", e.to_string()))?;
        if let Some(warning) = warnings.into_iter().next() {
            return Err(bad("schema", warning.to_string()));
        }
        let mut policies = PolicySet::new();
        let defaults = DEFAULTS.iter().map(|(file, text)| (*file, *text));
        for (file, text) in defaults.chain(own.iter().map(|(f, t)| (f.as_str(), t.as_str()))) {
            let parsed: PolicySet = text.parse().map_err(|e| bad(file, format!("{e}")))?;
            if parsed.templates().next().is_some() {
                return Err(bad(file, "templates are not used here".into()));
            }
            for policy in parsed.policies() {
                let id = policy.annotation("id").unwrap_or(policy.id().as_ref());
                let id = PolicyId::new(format!("{file}/{id}"));
                policies
                    .add(policy.new_id(id))
                    .map_err(|e| bad(file, e.to_string()))?;
            }
        }
        let checked = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if let Some(error) = checked.validation_errors().next() {
            return Err(bad(error.policy_id().as_ref(), error.to_string()));
        }
        if let Some(warning) = checked.validation_warnings().next() {
            return Err(bad(warning.policy_id().as_ref(), warning.to_string()));
        }
        let actions = actions(&schema, &policies).map_err(|why| bad("schema", why))?;
        let contexts = contexts(&schema).map_err(|why| bad("schema", why))?;
        Ok(Self {
            authorizer: Authorizer::new(),
            policies,
            actions,
            contexts,
        })
    }

    /// Decides.
    ///
    /// # Errors
    /// [`Fault::Forbidden`], with the policies that forbid as its step; [`Fault::Policy`] where an action is not known or a
    /// policy can't be evaluated.
    pub fn decide(&self, question: &Question<'_>) -> Result<(), Problem> {
        self.decide_by(question, |action, kind| action.by.get(kind))
    }

    fn decide_by<'a>(
        &'a self,
        question: &Question<'_>,
        by: impl FnOnce(&'a Action, &EntityTypeName) -> Option<&'a PolicySet>,
    ) -> Result<(), Problem> {
        let erring = |why: String| {
            tracing::error!(
                action = question.route.name,
                why,
                "a policy could not be evaluated"
            );
            Problem::from(Fault::Policy).step("policy.error")
        };
        let action = self
            .actions
            .get(question.route.name)
            .ok_or_else(|| erring("no such action".into()))?;
        let (principal, resource, both) = entities::of(question).map_err(erring)?;
        // What a request with a schema is checked for, with what was worked out at the start.
        let policies = by(action, principal.type_name())
            .filter(|_| action.on.contains(resource.type_name()))
            .ok_or_else(|| erring("the action is not for these kinds".into()))?;
        let circumstances = (
            question.bypass,
            question.granted,
            question.target.attestation,
        );
        let context = self
            .contexts
            .get(&circumstances)
            .ok_or_else(|| erring("no such context".into()))?;
        let request = Request::new(
            principal,
            action.uid.clone(),
            resource,
            context.clone(),
            None,
        )
        .map_err(|e| erring(e.to_string()))?;
        let all = both.into_iter().chain([action.entity.clone()]);
        let entities = Entities::from_entities(all, None).map_err(|e| erring(e.to_string()))?;
        let response = self.authorizer.is_authorized(&request, policies, &entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(erring(error.to_string()));
        }
        match response.decision() {
            Decision::Allow => Ok(()),
            Decision::Deny => {
                let by: Vec<&str> = response.diagnostics().reason().map(AsRef::as_ref).collect();
                let step = if by.is_empty() {
                    "policy.none_permits".to_owned()
                } else {
                    by.join(" ")
                };
                Err(Problem::from(Fault::Forbidden).step(step))
            }
        }
    }
}

/// Every context that there can be, each valid for the schema.
fn contexts(schema: &Schema) -> Result<HashMap<Circumstances, Context>, String> {
    let states = ["verified", "stale", "unavailable", "failed", "quarantined"];
    let states = states.map(Some).into_iter().chain([None]);
    let mut out = HashMap::new();
    for state in states {
        for (bypass, granted) in [(false, false), (false, true), (true, false), (true, true)] {
            let flag = |name: &str, value| (name.to_owned(), RestrictedExpression::new_bool(value));
            let state_pair = state.map(|state| {
                let state = RestrictedExpression::new_string(state.to_owned());
                ("attestation".to_owned(), state)
            });
            let pairs = [flag("bypass", bypass), flag("granted", granted)];
            let context = Context::from_pairs(pairs.into_iter().chain(state_pair))
                .map_err(|e| e.to_string())?;
            for route in ROUTES.iter().filter(|r| !r.is_open()) {
                let action = entities::uid("Action", route.name)?;
                context
                    .validate(schema, &action)
                    .map_err(|e| e.to_string())?;
            }
            out.insert((bypass, granted, state), context);
        }
    }
    Ok(out)
}

/// Each row's action with the groups that it is in. A row without an action is an error, and so is an action without a row.
fn actions(schema: &Schema, policies: &PolicySet) -> Result<HashMap<&'static str, Action>, String> {
    let all = schema.action_entities().map_err(|e| e.to_string())?;
    let mut out = HashMap::new();
    for route in ROUTES.iter().filter(|r| !r.is_open()) {
        let uid = entities::uid("Action", route.name)?;
        if all.get(&uid).is_none() {
            return Err(format!("`{}` has no action", route.name));
        }
        let groups: HashSet<EntityUid> =
            all.ancestors(&uid).into_iter().flatten().cloned().collect();
        let missing = || format!("`{}` is not in the schema", route.name);
        let mut by = HashMap::new();
        for kind in schema.principals_for_action(&uid).ok_or_else(missing)? {
            let chosen = scope::within(policies, kind, &uid, &groups)?;
            by.insert(kind.clone(), chosen);
        }
        let on = schema.resources_for_action(&uid).ok_or_else(missing)?;
        out.insert(
            route.name,
            Action {
                entity: Entity::new(uid.clone(), HashMap::new(), groups)
                    .map_err(|e| e.to_string())?,
                by,
                on: on.cloned().collect(),
                uid,
            },
        );
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
