"""Chinese: what `mfp-predict` says to people, by the English that the sources say.

MESSAGES are looked up as they stand; of a word that means something else elsewhere the key begins
with its kind and a bar. SENTENCES are tried in their order: a frame, such as that of a rejected
row, before what stands within it. `tests/report/test_language.py` finds what is missing.
"""

from __future__ import annotations

from mfp.report.chinese_errors import ERRORS, FRAMES
from mfp.report.chinese_help import HELP
from mfp.report.language import Language

_FIELDS = {
    "field|title": "片名",
    "field|id": "编号",
    "field|release date": "上映日期",
    "field|runtime minutes": "片长（分钟）",
    "field|genres": "类型",
    "field|directors": "导演",
    "field|writers": "编剧",
    "field|cast": "演员",
    "field|keywords": "关键词",
    "field|companies": "制片公司",
    "field|languages": "语言",
    "field|countries": "国家/地区",
    "field|certificate": "分级",
    "field|budget usd": "预算（美元）",
    "field|budget": "预算",
    "field|plot": "剧情",
    "field|tagline": "宣传语",
    "field|poster": "海报",
    "field|trailer": "预告片",
    "field|reviews": "影评",
    "field|vote count": "评分人数",
    "field|popularity": "热度",
    # In the singular, and derived numbers.
    "field|genre": "类型",
    "field|company": "制片公司",
    "field|language": "语言",
    "field|country": "国家/地区",
    "field|rating": "评分",
    "field|revenue": "票房",
    "field|revenue usd": "票房（美元）",
    "field|hit": "卖座",
    "field|verdict": "评价等级",
    "field|sentiment": "影评倾向",
    "field|release year": "上映年份",
    "field|holiday season": "节日档期",
    "field|budget constant usd": "预算（2000 年美元）",
    "field|season sin": "季节（正弦）",
    "field|season cos": "季节（余弦）",
    "field|weekday sin": "星期（正弦）",
    "field|weekday cos": "星期（余弦）",
    "field|genres count": "类型数",
    "field|directors count": "导演数",
    "field|writers count": "编剧数",
    "field|cast count": "演员数",
    "field|keywords count": "关键词数",
    "field|companies count": "制片公司数",
    "field|languages count": "语言数",
    "field|countries count": "国家/地区数",
}
_WORDS = {
    "verdict|flop": "失败",
    "verdict|average": "一般",
    "verdict|hit": "卖座",
    "verdict|superhit": "大热",
    # Modalities: mfp's own and those of the shipped configs. Others are names that someone gave.
    "modality|numbers": "数值（片长、日期、预算等）",
    "modality|people": "主创人员",
    "modality|content": "内容（类型、关键词、分级）",
    "modality|origin": "出品（公司、语言、国家/地区）",
    "modality|keywords": "关键词",
    "modality|title": "片名",
    "modality|plot": "剧情",
    "modality|tagline": "宣传语",
    "modality|reviews": "影评",
    "modality|poster": "海报",
    "modality|trailer": "预告片",
}
_TABLES = {
    "title": "片名",
    "release": "上映",
    "rating": "评分",
    "box office": "票房",
    "mean": "平均票房",
    "hit": "卖座概率",
    "verdict": "评价等级",
    "sentiment": "影评倾向",
    "distance": "距离",
    "{share} praise": "{share} 好评",
    "{low} to {high}": "{low} 至 {high}",
    "{level} interval": "{level} 区间",
    "{title}: {said}": "{title}：{said}",
    "best": "最佳",
    "as good": "同样好",
    "extrapolates": "超出训练范围",
    "yes": "是",
    "no": "否",
    ", ": "、",
    "; ": "；",
    "forecasting": "正在预测",
}
_REASONS = {
    "Why: {title}": "原因：{title}",
    "the average film": "平均影片",
    "this film": "本片",
    "this film minus this film without": "本片减去没有该项的本片",
    "similar past films": "相似的往年影片",
    "track record of people and companies": "人员与公司的过往成绩",
    "{field}: row {row}, column {column}": "{field}：第 {row} 行第 {column} 列",
    "{field}: frame {number}": "{field}：第 {number} 帧",
    "review {number}": "影评 {number}",
    "review {number}: {text}": "影评 {number}：{text}",
    "review {number}: all of {text}": "影评 {number}，全文：{text}",
    "{field}: {text}": "{field}：{text}",
    " (no earlier film)": "（没有更早的影片）",
    " ({said})": "（{said}）",
    "{count} earlier film": "此前 {count} 部影片",
    "{count} earlier films": "此前 {count} 部影片",
    "{number} points": "{number} 个百分点",
}
_PAGES = {
    "{count} films": "{count} 部影片",
    "film": "影片",
    "films": "影片",
    "forecast": "预测",
    "Forecast": "预测",
    "Forecasts of {count} films": "{count} 部影片的预测",
    "rating, of 10": "评分（满分 10）",
    "rating (0-10)": "评分（0-10）",
    "box office, mean": "平均票房",
    "chance of a hit": "卖座概率",
    "reviews that praise": "好评影评的概率",
    "verdict: {name}": "评价等级：{name}",
    "{label}: {value}": "{label}：{value}",
    ", interval {around}": "，区间 {around}",
    "{level} interval: {range}": "{level} 区间：{range}",
    "To be aware of": "请注意",
    "Why": "原因",
    "From the average film to this one: what each kind of input adds. The effects sum to the\n"
    "difference (Shapley values) in the network's own forecast, before the chance of a hit is "
    "calibrated.": "从平均影片到本片：每一类输入带来多少变化。各项影响（沙普利值）之和，"
    "等于网络自身预测（校准卖座概率之前）的差。",
    "what each kind of input adds": "每一类输入带来的变化",
    "input": "输入",
    "Words": "词语",
    "Coloured by {by}:": "按对{by}的影响着色：",
    "raises": "提高",
    "lowers": "降低",
    "the effect is this film minus this film without the word.": "影响指本片减去没有该词的本片。",
    "What moves the forecast most": "影响预测最大的部分",
    "effects of parts": "各部分的影响",
    "Poster": "海报",
    "Poster of {title}": "《{title}》的海报",
    "As it is": "原图",
    "What each region does to {by}:": "各区域对{by}的影响：",
    "Trailer": "预告片",
    "The frames that the network reads, squeezed to squares as it reads them, and what each does "
    "to {by}.": "网络读取的画面（按其读取方式压成正方形），以及每帧对{by}的影响。",
    "frame {number}, at {position} of the clip": "第 {number} 帧，位于片段的 {position} 处",
    "Heat map over the poster, {rows} by {columns} regions. Most in favour: row {best_row}, column "
    "{best_column} ({best}); most against: row {worst_row}, column {worst_column} ({worst}).": (
        "海报热力图，{rows} 行 {columns} 列。最有利：第 {best_row} 行第 {best_column} 列（{best}）"
        "；最不利：第 {worst_row} 行第 {worst_column} 列（{worst}）。"
    ),
    "Similar past films": "相似的往年影片",
    "The nearest that had opened before, as the network sees films, and what became of them.": (
        "在网络看来最接近的、此前已上映的影片，以及它们的结果。"
    ),
    "Plans": "方案",
    "plans": "方案",
    "Most {goal}:": "{goal}最高：",
    "note": "备注",
    "The best of all plans; {count} more are left out.": (
        "以上为所有方案中最好的；另有 {count} 个未列出。"
    ),
    "{label} over {field}; the best plan: {best}": "{label}随{field}的变化；最佳方案：{best}",
}
# Flags, notes and warnings, as `mfp/forecast` words them.
_SAID = {
    "this bundle does not read {names}": "本模型不读取：{names!l}",
    "a first-time director, as far as this bundle knows: {names} ({rule})": (
        "就本模型所知是首次执导：{names!t}（{rule!t}）"
    ),
    "unseen {field}: {names} ({rule})": "未见过的{field!w}：{names!t}（{rule!t}）",
    "in fewer than {count} training films": "在训练影片中出现少于 {count} 部",
    "{names} and {count} more": "{names}等，另有 {count} 个",
    "released {date}: far from the training years, later than any film of the test "
    "({until}; {years})": "上映于 {date}：远离训练年份，晚于测试集的所有影片（{until}；{years!t}）",
    "released {date}: far from the training years ({years})": (
        "上映于 {date}：远离训练年份（{years!t}）"
    ),
    "trained on films of {first} to {last}": "训练所用影片为 {first} 至 {last} 年",
    "{field} {value} is outside the trained range, {low} to {high} {unit}": (
        "{field!w} {value} 超出训练范围：{low} 至 {high} {unit!t}"
    ),
    "minutes": "分钟",
    "US dollars": "美元",
    "{field}: no media folder is given; forecast without it": (
        "{field!w}：没有给出媒体文件夹；预测时不使用它"
    ),
    "{field}: {why}; forecast without it": "{field!w}：{why!t}；预测时不使用它",
    "nothing that this bundle reads is given: an average forecast": (
        "没有给出本模型读取的任何信息：这是平均水平的预测"
    ),
    "hit: {own} is what the network says, and explained here; {served} is that calibrated": (
        "卖座概率：网络给出的是 {own}，此处解释的也是它；校准后为 {served}"
    ),
    "modality effects are means over {count} random orders": (
        "各类输入的影响是 {count} 种随机顺序的平均值"
    ),
    "this bundle carries no past films to compare with": "本模型不带可供比较的往年影片",
    "past films are compared only where the film has a release date": (
        "只有给出上映日期的影片才能与往年影片比较"
    ),
    "{outside} of {count} plans lie outside what the model was trained on ({fields})": (
        "{count} 个方案中有 {outside} 个超出模型的训练范围（{fields!l}）"
    ),
    "this bundle cannot tell differences between plans from noise": (
        "本模型无法判断方案之间的差异是否只是噪声"
    ),
    "all differences lie within the noise: the forecast does not tell them apart": (
        "所有差异都在噪声范围内：预测无法区分这些方案"
    ),
    "{count} other plans are as good as the best: their differences lie within the noise": (
        "另有 {count} 个方案与最佳方案同样好：差异在噪声范围内"
    ),
    "(none)": "（无）",
}

CHINESE = Language(
    "zh",
    _FIELDS | _WORDS | _TABLES | _REASONS | _PAGES | HELP,
    FRAMES | _SAID | ERRORS,
    ((1e8, "{}亿美元"), (1e4, "{}万美元")),
    "{}美元",
)
