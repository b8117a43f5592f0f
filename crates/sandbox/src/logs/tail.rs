//! The last lines a function printed, for the message of its failure.

use std::collections::VecDeque;

/// The longest piece of a line that is kept, in bytes.
const MAX_LINE: usize = 400;

/// The last few lines, each cut to a readable length.
#[derive(Debug)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    capacity: usize,
}

impl Tail {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            lines: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        if self.lines.len() == self.capacity {
            self.lines.pop_front();
        }
        let mut line = String::from_utf8_lossy(&text[..text.len().min(MAX_LINE)]).into_owned();
        if text.len() > MAX_LINE {
            line.push('…');
        }
        self.lines.push_back(line);
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut tail = Tail::new(2);
        for line in ["one", "two", &"x".repeat(MAX_LINE + 1)] {
            tail.push(line.as_bytes());
        }
        let lines: Vec<_> = tail.lines().collect();
        assert_eq!(lines, ["two", &format!("{}…", "x".repeat(MAX_LINE))]);
    }
}
