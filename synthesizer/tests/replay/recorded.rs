//! A provider that says what was recorded.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use futures::future::{self, BoxFuture, FutureExt as _};
use langop_proto::v1::Usage;
use langop_synthesizer::providers::{Chat, Completion, Finish, Provider, ProviderError};

pub(crate) struct Recorded {
    answers: Mutex<VecDeque<String>>,
    finish: Finish,
}

impl Recorded {
    /// Gives each answer once; every one ends as `finish` says.
    pub(crate) fn new(answers: &[&str], finish: Finish) -> Self {
        let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
        Self {
            answers: Mutex::new(answers),
            finish,
        }
    }
}

impl Provider for Recorded {
    fn chat<'a>(&'a self, _: Chat<'a>) -> BoxFuture<'a, Result<Completion, ProviderError>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.pop_front().map(|text| Completion {
            text,
            model: "recorded".to_owned(),
            usage: Usage::default(),
            finish: self.finish,
        });
        let nothing = ProviderError::unreadable("no more was recorded");
        future::ready(answer.ok_or(nothing)).boxed()
    }
}
