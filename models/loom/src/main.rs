// SPDX-License-Identifier: Apache-2.0
//! aether-loom - runs one model of the ring against a library that was made of its C sources; run.py does the rest.
//!
//! usage: aether-loom --list | LIBRARY MODEL
//!
//! Prints the number of executions, or what is wrong with the one that failed and its accesses in their order, a column
//! for each thread.

mod check;
mod models;
mod topic;
mod world;

use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};

static EXECUTIONS: AtomicU64 = AtomicU64::new(0);

/// Prints loom's panics as our own; nothing unwinds through the C code.
fn print_panic(info: &std::panic::PanicHookInfo) {
    let text = match (info.payload().downcast_ref::<&str>(), info.payload().downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_string(),
        (_, Some(text)) => text.clone(),
        _ => "panic".to_string(),
    };
    println!("failed: {}", text.trim().lines().next().unwrap_or_default());
    println!("# execution {}", EXECUTIONS.load(Ordering::Relaxed));
    if let Some(location) = info.location() {
        println!("# {location}");
    }
    world::print_trace();
    exit(1);
}

fn explore(model: &'static models::Model) {
    let mut builder = loom::model::Builder::new();

    builder.max_branches = 20_000;
    builder.preemption_bound = model.bound;
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        check::begin();
        world::begin();
        (model.run)();
    });
}

/// Once for each store that a mortal part can die before, and for none.
fn explore_deaths(model: &'static models::Model) {
    let mut lives = [0; world::DEATHS];

    loop {
        world::set_lives(lives);
        explore(model);
        // The innermost part that still died lives a store longer; those within it begin anew.
        let Some(part) = (0..world::DEATHS).rev().find(|part| world::any_died(*part)) else { return };
        lives[part] += 1;
        lives[part + 1..].fill(0);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();

    match arguments[..] {
        ["--list"] => {
            for model in models::MODELS {
                let bound = model.bound.map_or("none".to_string(), |bound| bound.to_string());
                println!("{} {bound} {}", model.name, model.shows);
            }
        }
        [library, name] => {
            let Some(model) = models::MODELS.iter().find(|model| model.name == name) else {
                eprintln!("aether-loom: no model is called '{name}': use one that --list prints");
                exit(2);
            };
            topic::open_library(library);
            std::panic::set_hook(Box::new(print_panic));
            (model.setup)();
            world::freeze();
            check::freeze();
            explore_deaths(model);
            println!("executions: {}", EXECUTIONS.load(Ordering::Relaxed));
        }
        _ => {
            eprintln!("usage: aether-loom --list | LIBRARY MODEL");
            exit(2);
        }
    }
}
