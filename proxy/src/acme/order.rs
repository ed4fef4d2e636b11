//! One order: account, proof of every name, certificate, file.

use std::path::Path;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};

use super::{Acme, Certificate, state};
use crate::config::{Acme as Wanted, Config};

/// How long the authority is waited for in one step.
const STEP_PATIENCE: Duration = Duration::from_secs(90);

/// Orders `certificate` and writes its file.
///
/// # Errors
/// One line: what failed, and what the authority said.
pub(super) async fn order(
    acme: &Acme,
    settings: &Config,
    wanted: &Wanted,
    certificate: &Certificate,
) -> Result<(), String> {
    let state = settings.acme_state().ok_or("there is no acme.state")?;
    let account = account(wanted, &state).await?;
    let said = |step: &'static str| move |error: instant_acme::Error| format!("{step}: {error}");
    let names: Vec<_> = certificate.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(said("the order"))?;
    prove(acme, &mut order).await?;
    let patience = RetryPolicy::new().timeout(STEP_PATIENCE);
    match order.poll_ready(&patience).await.map_err(said("the proof"))? {
        OrderStatus::Ready => {}
        status => return Err(format!("the order is {status:?}: {}", reason(&mut order).await)),
    }
    let key = order.finalize().await.map_err(said("the request for the certificate"))?;
    let chain = order.poll_certificate(&patience).await.map_err(said("the certificate"))?;
    state::keep(certificate, &wanted.directory, &key, &chain)
}

/// Shows the authority what it asks for each name.
async fn prove(acme: &Acme, order: &mut Order) -> Result<(), String> {
    let said = |error: instant_acme::Error| format!("the proof: {error}");
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(said)?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            status => return Err(format!("the proof: an authorization is {status:?}")),
        }
        let mut challenge =
            authorization.challenge(ChallengeType::Http01).ok_or("the proof: the authority does not offer http-01")?;
        let answer = challenge.key_authorization();
        let token = challenge.token.clone();
        acme.learn(&token, answer.as_str())?;
        challenge.set_ready().await.map_err(said)?;
    }
    Ok(())
}

/// Why the authority was not content.
async fn reason(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let mut errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        if let Some(error) = errors.next_back() {
            return error.to_string();
        }
    }
    "it does not say why".to_owned()
}

/// The account that is kept, or a new one.
async fn account(wanted: &Wanted, state: &Path) -> Result<Account, String> {
    let said = |error: instant_acme::Error| format!("the account: {error}");
    let builder = match &wanted.ca {
        Some(ca) => Account::builder_with_root(ca),
        None => Account::builder(),
    };
    let builder = builder.map_err(said)?;
    let file = wanted.account_file(state);
    if let Some(text) = state::read_account(&file)? {
        let credentials: AccountCredentials = serde_json::from_str(&text).map_err(|error| {
            format!("the account {} cannot be read: {error}; remove it for a new one", file.display())
        })?;
        return builder.from_credentials(credentials).await.map_err(said);
    }
    let contact: Vec<&str> = wanted.contact.iter().map(String::as_str).collect();
    let new =
        NewAccount { contact: &contact, terms_of_service_agreed: wanted.terms_agreed, only_return_existing: false };
    let (account, credentials) = builder.create(&new, wanted.directory.clone(), None).await.map_err(said)?;
    let text = serde_json::to_string(&credentials).map_err(|error| format!("the account: {error}"))?;
    crate::kept::write(&file, text.as_bytes())?;
    Ok(account)
}
