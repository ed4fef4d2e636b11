//! `littoral plugin run` of a service: the conversation at the terminal.

use std::process::ExitCode;

use littoral_plugin_host::author::{Conversation, Spoken};

/// Prints what was said and how it ended; 1 when something was not as the text has it.
pub(super) fn tell(conversation: &Conversation, json: bool) -> ExitCode {
    let Conversation { spoken, tick, ended, differs, memory_bytes } = conversation;
    if json {
        println!("{}", serde_json::json!(conversation));
        return ExitCode::from(u8::from(differs.is_some()));
    }
    for Spoken { from, to, what } in spoken {
        match to.as_str() {
            "service" => println!("{from}: {what}"),
            _ => println!("{from} to {to}: {what}"),
        }
    }
    tick.iter().for_each(|ms| println!("  it wants to tick again in {ms} ms"));
    ended.iter().for_each(|ended| println!("  {ended}"));
    differs.iter().for_each(|differs| println!("  {differs}"));
    println!("  {} KiB of memory", memory_bytes >> 10);
    ExitCode::from(u8::from(differs.is_some()))
}
