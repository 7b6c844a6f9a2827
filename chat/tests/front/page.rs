//! The page, as people use it.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::{
    browser::{DESKTOP, PHONE, Page, Screen, program},
    front::{Front, calls, models, slow_model},
    model::{Model, Reply, says},
};

/// What models write.
const ANSWER: &str = "You need **two things** from `notes.txt`:

1. milk
2. bread

| Thing | Where |
|---|---|
| milk | the shop with a-name-that-is-much-longer-than-any-phone-is-wide |

```sh
echo 'a line of code that is far longer than the screen of a phone is wide, and scrolls by itself'
```

See https://shop.example/a-page-with-a-very-long-name-that-no-phone-shows-in-one-line.";

/// The open page of `front`, at rest.
async fn open(front: &Front, screen: Screen) -> Option<Page> {
    let mut page = Page::open(&program()?, screen).await;
    page.visit(&front.url("/")).await;
    page.until("document.title == 'helpdesk'").await;
    Some(page)
}

/// Asks by keys alone.
async fn ask(page: &mut Page, text: &str) {
    assert_eq!(page.evaluate("document.activeElement.id").await, "question");
    page.write(text).await;
    page.press("Enter").await;
}

/// The words of all that is shown.
async fn shown(page: &mut Page) -> Vec<String> {
    let all = page
        .evaluate("[...document.querySelectorAll('#log article')].map((one) => one.innerText)")
        .await;
    serde_json::from_value(all).unwrap()
}

const AT_REST: &str = "!document.body.classList.contains('busy')";

/// No other origin was asked for anything, and the browser complains of nothing.
async fn assert_clean(page: &mut Page, front: &Front) {
    let requests = page.events("Network.requestWillBeSent").await;
    let urls: BTreeSet<_> = requests
        .iter()
        .filter_map(|one| one["request"]["url"].as_str())
        .collect();
    assert!(urls.contains(&*front.url("/v1/models")), "{urls:?}");
    let foreign: Vec<_> = urls
        .iter()
        .filter(|url| !url.starts_with(&front.url("/")))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for complaints in ["Log.entryAdded", "Runtime.exceptionThrown"] {
        let complaints = page.events(complaints).await;
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}

#[tokio::test]
async fn a_person_asks_sees_the_call_and_the_answer_and_reloads() {
    let read = calls("read_file", &json!({"path": "notes.txt"}));
    let model = Model::start([read, says(ANSWER), says("Nothing else.")]).await;
    let front = Front::over(&model).await;
    let Some(mut page) = open(&front, DESKTOP).await else {
        return;
    };
    let welcome = page
        .evaluate("document.getElementById('welcome').innerText")
        .await;
    assert!(
        welcome.as_str().unwrap().contains("I can use files."),
        "{welcome}"
    );
    page.picture("desktop-welcome").await;

    ask(&mut page, "What must I buy?").await;
    page.until(&format!(
        "document.querySelectorAll('#log article').length == 3 && {AT_REST}"
    ))
    .await;
    let said = shown(&mut page).await;
    assert!(said[0].contains("What must I buy?"), "{said:?}");
    assert!(
        said[1].contains("files · read_file") && said[1].contains("done"),
        "{said:?}"
    );
    assert!(
        said[2].contains("two things") && !said[2].contains("**"),
        "{said:?}"
    );
    let made = page
        .evaluate("['strong', 'ol li', 'table td', 'pre code', 'a[href^=\"https://shop.example/\"]'].map((what) => document.querySelectorAll(`#log article ${what}`).length)")
        .await;
    assert_eq!(made, json!([1, 2, 2, 1, 1]));
    page.evaluate("document.querySelector('details').open = true")
        .await;
    let parts = page
        .evaluate("document.querySelector('.parts').innerText")
        .await;
    for part in ["notes.txt", "Buy milk and bread."] {
        assert!(parts.as_str().unwrap().contains(part), "{part}: {parts}");
    }
    page.picture("desktop-answer").await;
    assert_eq!(page.faint().await, [""; 0]);

    page.reload().await;
    page.until("document.title == 'helpdesk'").await;
    let again = shown(&mut page).await;
    assert_eq!(
        again,
        said.iter().map(String::as_str).collect::<Vec<_>>(),
        "a reload keeps it"
    );
    ask(&mut page, "And what else?").await;
    page.until("document.querySelectorAll('#log article').length == 5")
        .await;
    let asked = model.requests().pop().unwrap();
    let roles: Vec<_> = asked["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    let expected = ["system", "user", "assistant", "tool", "assistant", "user"];
    assert_eq!(roles, expected, "the page brings all that was said");
    assert_clean(&mut page, &front).await;
}

/// Long words, tables and code in a narrow window: they scroll by themselves or break.
#[tokio::test]
async fn a_phone_shows_it_all_without_scrolling_sideways() {
    let read = calls("read_file", &json!({"path": "notes.txt"}));
    let model = Model::start([read, says(ANSWER)]).await;
    let long = "a-model-with-a-name-that-no-phone-shows-in-one-line";
    let endpoints = models(&[("claude", model.address), (long, model.address)]);
    let front = Front::start(&[("MODEL_ENDPOINTS", endpoints)]).await;
    let Some(mut page) = open(&front, PHONE).await else {
        return;
    };
    page.picture("phone-welcome").await;
    ask(&mut page, &format!("What must I buy? {}", "x".repeat(200))).await;
    page.until(&format!(
        "document.querySelectorAll('#log article').length == 3 && {AT_REST}"
    ))
    .await;
    page.evaluate("document.querySelector('details').open = true")
        .await;
    page.picture("phone-answer").await;
    assert_eq!(page.faint().await, [""; 0]);
    page.evaluate("document.querySelector('article div').style.color = '#777'")
        .await;
    let faint = page.faint().await;
    assert_eq!(faint.len(), 1, "it would be noticed: {faint:?}");
    for screen in [
        PHONE,
        Screen {
            width: 320,
            ..PHONE
        },
        Screen {
            width: 740,
            height: 360,
            ..PHONE
        },
    ] {
        page.resize(screen).await;
        let width = page.evaluate("document.documentElement.scrollWidth").await;
        assert_eq!(width, screen.width, "nothing is wider than the screen");
        let cut = page
            .evaluate("[...document.querySelectorAll('button, select, textarea')].filter((one) => one.offsetParent && (one.getBoundingClientRect().right > innerWidth || one.getBoundingClientRect().left < 0)).map((one) => one.id)")
            .await;
        assert_eq!(cut, json!([]), "at {}", screen.width);
    }
    // The last line of the answer is not behind the field to write in.
    page.resize(PHONE).await;
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        .await;
    let is_free = page
        .evaluate("document.querySelector('#log article:last-child').getBoundingClientRect().bottom <= document.querySelector('footer').getBoundingClientRect().top")
        .await;
    assert_eq!(is_free, true);
    assert_clean(&mut page, &front).await;
}

/// Every control is reached by Tab alone, and it can be seen which one has the focus.
#[tokio::test]
async fn the_keyboard_is_enough() {
    let read = calls("read_file", &json!({"path": "notes.txt"}));
    let first = Model::start([read, says("Milk.\n\nAnd bread.")]).await;
    let second = Model::start([]).await;
    let endpoints = models(&[("claude", first.address), ("gpt", second.address)]);
    let front = Front::start(&[("MODEL_ENDPOINTS", endpoints)]).await;
    let Some(mut page) = open(&front, DESKTOP).await else {
        return;
    };
    page.write("What must").await;
    page.press_shift("Enter").await;
    page.write("I buy?").await;
    page.press("Enter").await;
    page.until(&format!(
        "document.querySelectorAll('#log article').length == 3 && {AT_REST}"
    ))
    .await;
    let asked = &first.requests()[0]["messages"][1]["content"];
    assert_eq!(asked, "What must\nI buy?", "Shift and Enter begin a line");

    let mut reached = BTreeSet::new();
    for _ in 0..12 {
        page.press("Tab").await;
        let focus = page
            .evaluate("(() => { const one = document.activeElement; const style = getComputedStyle(one.id == 'question' ? one.form : one); return { what: one.id || one.localName, isSeen: style.outlineStyle != 'none' || style.boxShadow != 'none' } })()")
            .await;
        if focus["what"] != "body" {
            assert_eq!(focus["isSeen"], true, "{focus}");
            reached.insert(focus["what"].as_str().unwrap().to_owned());
        }
        if focus["what"] == "summary"
            && page
                .evaluate("document.querySelector('details').open")
                .await
                == false
        {
            page.press("Enter").await;
            page.until("document.querySelector('details').open").await;
        }
    }
    let expected = ["model", "new", "pre", "question", "send", "summary"];
    assert_eq!(reached, expected.map(str::to_owned).into());

    // Whoever does not see it is told what it is.
    let tree = page.command("Accessibility.getFullAXTree", json!({})).await;
    let nodes = tree["nodes"].as_array().unwrap();
    for (role, name) in [
        ("textbox", "Message"),
        ("combobox", "Model"),
        ("button", "Send"),
        ("button", "New chat"),
        ("log", "Conversation"),
        ("heading", "You"),
        ("heading", "Answer"),
    ] {
        let is_there = nodes
            .iter()
            .any(|node| node["role"]["value"] == role && node["name"]["value"] == name);
        assert!(is_there, "{role} {name}");
    }
    let live = page
        .evaluate("['log', 'status'].map((id) => document.getElementById(id).role)")
        .await;
    assert_eq!(live, json!(["log", "status"]), "what comes is read out");
    assert_clean(&mut page, &front).await;
}

#[tokio::test]
async fn an_answer_can_be_stopped_and_asked_for_again() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = slow_model(Arc::clone(&gate)).await;
    let front = Front::start(&[("MODEL_ENDPOINTS", models(&[("claude", slow)]))]).await;
    let Some(mut page) = open(&front, DESKTOP).await else {
        return;
    };
    ask(&mut page, "Take your time.").await;
    page.until("document.getElementById('status').textContent == 'Thinking'")
        .await;
    page.picture("desktop-thinking").await;
    front
        .until("it asks the model", |log| log.contains("the run begins"))
        .await;
    page.press("Escape").await;
    page.until("document.querySelector('.notice')?.innerText.includes('You stopped this answer.')")
        .await;
    front
        .until("the run is cancelled", |log| {
            log.contains("the caller has gone")
        })
        .await;
    page.picture("desktop-stopped").await;

    // A reload in the middle of an answer loses the answer, and says so.
    page.evaluate("document.querySelector('.notice button').click()")
        .await;
    page.until("document.body.classList.contains('busy')").await;
    page.reload().await;
    page.until(
        "document.querySelector('.notice')?.innerText.includes('This answer was broken off.')",
    )
    .await;
    page.evaluate("document.querySelector('.notice button').click()")
        .await;
    gate.close();
    page.until("document.querySelector('#log').innerText.includes('At last.')")
        .await;
    assert_eq!(
        page.evaluate("document.querySelectorAll('.notice').length")
            .await,
        0
    );

    page.evaluate("document.getElementById('new').click()")
        .await;
    assert_eq!(shown(&mut page).await, [""; 0]);
    assert_eq!(
        page.evaluate("sessionStorage.getItem('langop-chat')").await,
        "[]"
    );
}

#[tokio::test]
async fn a_failure_is_told_and_nothing_is_called_twice() {
    let write = calls(
        "write_file",
        &json!({"path": "done.txt", "content": "once"}),
    );
    let no = Reply::Raw(
        400,
        vec![],
        r#"{"error":{"message":"out of credit"}}"#.to_owned(),
    );
    let model = Model::start([write, no, says("It is written.")]).await;
    let front = Front::over(&model).await;
    let Some(mut page) = open(&front, DESKTOP).await else {
        return;
    };
    ask(&mut page, "Write it down.").await;
    page.until("document.querySelector('.notice')?.innerText.includes(\"The model 'claude' refuses: 400 Bad Request out of credit\")")
        .await;
    page.picture("desktop-failure").await;
    assert_eq!(page.faint().await, [""; 0]);
    page.evaluate("document.querySelector('.notice button').click()")
        .await;
    page.until("document.querySelector('#log').innerText.includes('It is written.')")
        .await;
    let asked = model.requests().pop().unwrap();
    let roles: Vec<_> = asked["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "tool"],
        "it goes on after what was done"
    );
}

/// Texts of models and tools make no elements, load nothing and lead nowhere but to web pages.
#[tokio::test]
async fn what_others_write_stays_text() {
    let hostile = "<img src='https://evil.example/a.png'><script>document.title='taken'</script>\n\n![a](https://evil.example/b.png)\n\n[here](javascript:document.title='taken') [there](data:text/html,x)\n\n<style>*{display:none}</style>";
    let write = calls("write_file", &json!({"path": "a.txt", "content": hostile}));
    let read = calls("read_file", &json!({"path": "a.txt"}));
    let model = Model::start([write, read, says(hostile)]).await;
    let front = Front::over(&model).await;
    let Some(mut page) = open(&front, DESKTOP).await else {
        return;
    };
    ask(&mut page, hostile).await;
    page.until(&format!(
        "document.querySelectorAll('#log article').length == 4 && {AT_REST}"
    ))
    .await;
    let made = page
        .evaluate("[...document.querySelectorAll('#log :is(img, script, style, iframe, a:not([href^=\"https://\"]))')].map((one) => one.outerHTML)")
        .await;
    assert_eq!(made, json!([]));
    let said = shown(&mut page).await;
    assert!(said[3].contains("<img src="), "{said:?}");
    assert_eq!(page.evaluate("document.title").await, "helpdesk");
    // And were there one, nothing would be loaded.
    let added = "new Promise((failed) => { const one = document.createElement('img'); one.onerror = () => failed(true); one.src = 'https://evil.example/c.png'; document.body.append(one); })";
    assert_eq!(page.evaluate(added).await, true);
    let blocked: Vec<Json> = page.events("Log.entryAdded").await;
    assert!(
        json!(blocked)
            .to_string()
            .contains("Content Security Policy"),
        "{blocked:?}"
    );
}

#[tokio::test]
async fn marks_at_random_make_nothing_else() {
    let model = Model::start([]).await;
    let front = Front::over(&model).await;
    let Some(mut page) = open(&front, DESKTOP).await else {
        return;
    };
    let made = page.evaluate(include_str!("marks.js")).await;
    let expected = [
        "a",
        "blockquote",
        "br",
        "code",
        "div",
        "em",
        "h3",
        "h4",
        "hr",
        "https:",
        "li",
        "ol",
        "p",
        "pre",
        "strong",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    ];
    assert_eq!(made, json!(expected));
    assert_clean(&mut page, &front).await;
}
