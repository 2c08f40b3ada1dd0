//! Exports: the rows of a list, scoped like every other, page after page into the output of a format.

use super::related::Tree;
use super::{Publishing, Visible};
use crate::error::Result;
use crate::format::Writer;
use crate::query::{Budget, PageCursor, Root, Selected};
use crate::store::rows::{Export as Plan, ExportPage, Exported};

/// A list that is exported as one actor may see it, planned once for as long as that is the same.
#[derive(Debug)]
pub struct Export {
    view: Visible,
    tree: Tree,
    plan: Plan,
}

/// How much of an export is read at once.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The most rows.
    pub rows_max: usize,
    /// The page ends with the row that reaches this many bytes.
    pub bytes_max: usize,
}

impl Export {
    /// Whether this is still how its actor sees the collection.
    pub fn is_of(&self, (collection, scope): &Visible) -> bool {
        std::sync::Arc::ptr_eq(&self.view.0, collection) && std::sync::Arc::ptr_eq(&self.view.1, scope)
    }

    /// The collection's number.
    pub fn collection_id(&self) -> i64 {
        self.view.0.id
    }

    /// Where it begins.
    pub fn from(&self) -> Option<&PageCursor> {
        self.plan.from()
    }
}

impl Publishing {
    /// Plans an export of `from`, whose conditions and order may follow relations among `visible`. `field` is a root
    /// field with `nodes`, validated and coerced as for [`Publishing::read`]; with `cursors` each row begins with its
    /// own, with `cells` rows become cells where they can.
    ///
    /// # Errors
    /// Those of compiling and scoping.
    pub fn export(
        &self,
        from: &Visible,
        visible: &[Visible],
        field: &Selected,
        (cursors, cells): (bool, bool),
    ) -> Result<Export> {
        let tree = self.scoped(from, visible, Root::List, field)?;
        let plan = Plan::new(tree.query.clone(), (cursors, cells))?;
        Ok(Export { view: from.clone(), tree, plan })
    }

    /// The text of a place in an export.
    ///
    /// # Errors
    /// As [`PageCursor::encode`].
    pub fn export_cursor(&self, export: &Export, place: &PageCursor) -> Result<String> {
        export.plan.cursor(place, &self.0.signer)
    }

    /// Appends the rows behind `from`. On an error nothing has been appended.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn export_page(
        &self,
        export: &Export,
        from: Option<&PageCursor>,
        step: Step,
        writer: &mut (dyn Writer + Send),
        out: &mut Vec<u8>,
    ) -> Result<Exported> {
        let row_bytes_max = self.0.limits.answer_bytes_max;
        let Step { rows_max, bytes_max } = step;
        let page = ExportPage { from, rows_max, bytes_max, row_bytes_max, signer: &self.0.signer };
        let start = out.len();
        let read = if export.plan.has_marks() {
            self.marked(export, page, writer, out).await
        } else {
            self.0.store.export(&export.plan, page, writer, out).await
        };
        if read.is_err() {
            out.truncate(start);
        }
        read
    }

    /// Rows that tell what their records do are written once all of the page's are at hand.
    async fn marked(
        &self,
        export: &Export,
        page: ExportPage<'_>,
        writer: &mut (dyn Writer + Send),
        out: &mut Vec<u8>,
    ) -> Result<Exported> {
        let (mut gathered, mut bytes) = (Gathered::default(), Vec::new());
        let exported = self.0.store.export(&export.plan, page, &mut gathered, &mut bytes).await?;
        let mut rows = gathered.cut(&bytes);
        let mut texts: Vec<&mut Vec<u8>> = rows.iter_mut().collect();
        self.filled(&export.tree, &mut texts, &Budget::new(page.row_bytes_max)).await?;
        for row in &rows {
            writer.row(row, out)?;
        }
        Ok(exported)
    }
}

/// Rows as their texts, one behind the other.
#[derive(Default)]
struct Gathered {
    ends: Vec<usize>,
}

impl Gathered {
    fn cut(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(from, to)| bytes.get(from..*to)).map(<[u8]>::to_vec).collect()
    }
}

impl Writer for Gathered {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(row);
        self.ends.push(out.len());
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}
